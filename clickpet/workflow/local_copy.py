"""Data copied to a disk of the node, where reading them over the network is slow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clickpet.errors import InputError

#: Endings of the files of a preprocessed case.
PARTS = (".b2nd", "_seg.b2nd", ".pkl")


@contextmanager
def local_copy(folder: str | Path, cases: Sequence[str], disk: str | Path | None) -> Iterator[Path]:
    """Where to read the preprocessed `cases` of `folder`: a copy on a local disk, which is removed at the end.

    disk : a folder on a disk of this machine, or None: `folder` itself.  The copy goes on SIGTERM, too, within
    `clickpet.workflow.job.logged`.

    Raises InputError if `disk` has not enough free space.
    """
    if disk is None:
        yield Path(folder)
        return
    files = [Path(folder, case + part) for case in cases for part in PARTS]
    needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(disk).free
    if needed > free:
        raise InputError(
            f"has {free / 1e9:.1f} GB free, a copy of the training data needs {needed / 1e9:.1f} GB",
            where=disk,
            mend="point the resource tmpdir to a larger local disk, or train without local_copy",
        )
    with tempfile.TemporaryDirectory(prefix="clickpet-", dir=disk) as copy:
        for file in files:
            shutil.copyfile(file, Path(copy, file.name))
        yield Path(copy)
