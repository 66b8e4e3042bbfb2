"""A folder that one process at a time works in; the kernel takes the lock of a process that dies away from it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clickpet.errors import InputError

LOCK = ".clickpet.lock"
#: A run that was killed needs some seconds until the last of its processes has ended.
WAIT_S = 15.0
_LOOK_AGAIN_S = 0.2


@contextmanager
def locked_folder(
    folder: str | Path, *, wait_s: float = WAIT_S, progress: Callable[[str], None] = lambda line: None
) -> Iterator[int]:
    """Hold `folder` (which is made) for this process; gives the lock's file descriptor.

    A child process that inherits the descriptor holds the folder, too, until it ends.

    wait_s : how long another process is waited for.  Raises InputError if it has not ended by then, and on a file
    system without locks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # for writing, because NFS gives an exclusive lock to no other
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(file, folder, wait_s, progress)
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield file
    finally:
        os.close(file)


def _wait(file: int, folder: Path, wait_s: float, progress: Callable[[str], None]) -> None:
    deadline = None
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise InputError(
                    f"its file system gives no locks ({error.strerror})", where=folder, mend="work on another disk"
                ) from error
        if deadline is None:
            deadline = time.monotonic() + wait_s
            progress(f"waiting for another process that works in {folder}")
        if time.monotonic() >= deadline:
            holder = os.pread(file, 200, 0).decode(errors="replace") or "another process"
            raise InputError(
                f"is in use by {holder}", where=folder, mend="wait until it has ended, or give another folder"
            )
        time.sleep(_LOOK_AGAIN_S)
