"""Checkpoints of a training on disk: written durably, the one before kept, broken ones set aside."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from clickpet.errors import InputError
from clickpet.files import replacing

FINAL, LATEST, PREVIOUS = "checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_previous.pth"
#: What a training needs of a checkpoint to go on.
NEEDED = ("network_weights", "optimizer_state", "current_epoch", "logging")


def write_checkpoint(path: str | Path, write: Callable[[str], None]) -> None:
    """Write a checkpoint so that a crash of the machine leaves it or the one before, whole.

    write : called with the path of a temporary file beside `path`, which is flushed to the disk before it gets its
    name. What `path` held before becomes PREVIOUS.
    """
    path = Path(path)
    with replacing(path) as temporary:
        write(str(temporary))
        _flush(temporary)
        if path.is_file():
            os.replace(path, path.with_name(PREVIOUS))
    _flush(path.parent)


def retire_latest(folder: str | Path) -> None:
    """Keep LATEST of `folder` as PREVIOUS: what to go on from if the final checkpoint turns out to be broken."""
    latest = Path(folder, LATEST)
    if latest.is_file():
        os.replace(latest, latest.with_name(PREVIOUS))


def read_newest(folder: str | Path, *names: str) -> tuple[Path, dict] | None:
    """Path and content of the first of `names` in `folder` (FINAL, LATEST, PREVIOUS) that is whole; None without one.

    A file that is empty, cut, damaged, or holds anything but tensors and plain values gets ".broken" behind its name,
    with a line about it in the log.
    """
    for name in names:
        path = Path(folder, name)
        if not path.is_file():
            continue
        try:
            return path, _read(path)
        except InputError as error:
            aside = path.with_name(f"{path.name}.broken")
            os.replace(path, aside)
            print(f"set aside as {aside.name}: {error}", flush=True)
    return None


def _read(path: Path) -> dict:
    """A checkpoint whose parts have their checksums; InputError otherwise. torch itself does not look at them."""
    from clickpet.nnunet.model_folder import load_checkpoint  # with torch, which `clickpet status` does not need

    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(f"cannot be read as a checkpoint ({error})", where=path) from error
    if damaged:
        raise InputError(f"is damaged (checksum of {damaged})", where=path)
    checkpoint = load_checkpoint(path, mapped=False)
    missing = [name for name in NEEDED if name not in checkpoint]
    if missing:
        raise InputError(f"lacks {', '.join(missing)}", where=path)
    return checkpoint


def _flush(path: Path) -> None:
    """Let the disk have a file, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
