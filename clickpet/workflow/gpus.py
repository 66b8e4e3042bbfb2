"""Exclusive GPUs for a job by lock files, on machines where no scheduler hands GPUs out."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clickpet.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Set in the jobs of schedulers that hand out GPUs (SLURM, PBS, LSF, Grid Engine).
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "PE_HOSTFILE")
LOOK_AGAIN_S = 2.0


@contextmanager
def own_gpus(count: int, *, folder: str | Path | None = None) -> Iterator[None]:
    """Hold `count` NVIDIA GPUs, which no other job of clickpet on this machine gets; waits until as many are free.

    Sets CUDA_VISIBLE_DEVICES, and therefore must come before torch touches a GPU. Where a user has set it already,
    only the GPUs that it names are shared out. Nothing is done in the jobs of a scheduler, where nvidia-smi finds no
    GPU, and where CUDA_VISIBLE_DEVICES names something else than this machine's GPUs.

    folder : of the locks, one file a GPU, which all users of the machine may take; the machine's folder for temporary
    files by default. The kernel takes the lock of a process that dies away from it.
    Raises InputError if there are fewer GPUs.
    """
    given = os.environ.get(VISIBLE)
    scheduled = given is not None and any(name in os.environ for name in SCHEDULERS)
    gpus = {} if scheduled or not count else visible_gpus(gpus_here(), given)
    if not gpus:
        yield
        return
    if count > len(gpus):
        there = "this machine has" if given is None else f"{VISIBLE}={given} names"
        raise InputError(f"{count} GPUs are asked for, {there} {len(gpus)}", mend="lower `gpu` under set-resources")
    locks = {name: Path(folder or tempfile.gettempdir(), f"clickpet_{uuid}.lock") for name, uuid in gpus.items()}
    held = _hold(locks, count)
    if not held:
        print(f"waiting for {count} of {len(gpus)} GPUs, which other jobs have", flush=True)
    while not held:
        time.sleep(LOOK_AGAIN_S)
        held = _hold(locks, count)
    os.environ[VISIBLE] = ",".join(held)
    try:
        yield
    finally:
        if given is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = given
        for file in held.values():
            os.close(file)


def visible_gpus(here: list[str], given: str | None) -> dict[str, str]:
    """GPUs that may be used, {name for CUDA_VISIBLE_DEVICES: identifier}.

    here : identifiers of this machine's GPUs in the order of their numbers;  given : CUDA_VISIBLE_DEVICES as it is
    set (numbers, or beginnings of identifiers), None where it is not.  Empty if it names anything that is not here.
    """
    if given is None:
        return {uuid: uuid for uuid in here}
    found = {}
    for name in (part.strip() for part in given.split(",")):
        if name.isdecimal():
            matching = here[int(name) : int(name) + 1]
        else:
            matching = [uuid for uuid in here if name and uuid.startswith(name)]
        if len(matching) != 1:
            return {}
        found[name] = matching[0]
    return found


def _hold(locks: Mapping[str, Path], count: int) -> dict[str, int]:
    """File descriptors of the first `count` locks that are free, by name; none at all if there are fewer."""
    held = {}
    for name, lock in locks.items():
        file = _open_for_all(lock)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        held[name] = file
        if len(held) == count:
            return held
    for file in held.values():
        os.close(file)
    return {}


def _open_for_all(lock: Path) -> int:
    """Open a lock file that every user of the machine can open, whoever made it and whatever their umask.

    Reading is enough to lock. A file that another user has closed to all others is no lock that could be shared: this
    user's own stands in for it.
    """
    try:
        return os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        pass
    except OSError as error:
        if lock.name.endswith(f".{os.getuid()}.lock"):
            raise
        print(
            f"warning: {lock} cannot be opened ({error.strerror}): GPUs are not shared out with its owner", flush=True
        )
        return _open_for_all(lock.with_suffix(f".{os.getuid()}.lock"))
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o444)
    except FileExistsError:  # made by another job since
        return _open_for_all(lock)
    os.fchmod(file, 0o444)  # the umask may have closed it
    return file


def gpus_here() -> list[str]:
    """Identifiers of this machine's NVIDIA GPUs, none where nvidia-smi is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []
