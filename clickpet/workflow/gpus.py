"""GPUs of one's own, on machines where no scheduler hands them out."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickpet.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK_AGAIN_S = 2.0


@contextmanager
def own_gpus(count: int, *, folder: str | Path | None = None) -> Iterator[None]:
    """Hold `count` NVIDIA GPUs, which no other job of clickpet on this machine gets; waits until as many are free.

    Sets CUDA_VISIBLE_DEVICES, and therefore must come before torch touches a GPU. Nothing is done where it is set
    already (by SLURM, or by the user) and where nvidia-smi finds no GPU.

    folder : of the locks, one file a GPU; the machine's folder for temporary files by default. The kernel takes the
    lock of a process that dies away from it.  Raises InputError if the machine has fewer GPUs.
    """
    names = [] if VISIBLE in os.environ or not count else gpus_here()
    if not names:
        yield
        return
    if count > len(names):
        raise InputError(
            f"{count} GPUs are asked for, this machine has {len(names)}", mend="lower `gpu` under set-resources"
        )
    locks = {name: Path(folder or tempfile.gettempdir(), f"clickpet_{name}.lock") for name in names}
    held = _hold(locks, count)
    if not held:
        print(f"waiting for {count} of {len(names)} GPUs, which other jobs have", flush=True)
    while not held:
        time.sleep(LOOK_AGAIN_S)
        held = _hold(locks, count)
    os.environ[VISIBLE] = ",".join(held)
    try:
        yield
    finally:
        del os.environ[VISIBLE]
        for file in held.values():
            os.close(file)


def _hold(locks: dict[str, Path], count: int) -> dict[str, int]:
    """File descriptors of the first `count` locks that are free, by name; none at all if there are fewer."""
    held = {}
    for name, lock in locks.items():
        file = os.open(lock, os.O_RDONLY if lock.exists() else os.O_RDONLY | os.O_CREAT, 0o644)
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


def gpus_here() -> list[str]:
    """Identifiers of this machine's NVIDIA GPUs, none where nvidia-smi is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []
