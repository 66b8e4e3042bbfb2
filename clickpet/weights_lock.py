"""The lock file beside downloaded weights: SHA-256 of every archive and file as it was fetched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from clickpet.errors import InputError
from clickpet.files import read_json

LOCK = "weights.lock.json"
_SHA256 = re.compile("[0-9a-f]{64}")


def read_lock(folder: str | Path) -> dict:
    """The lock file of a weights folder, {archive: {"files": {relative path: SHA-256}, ...}}; empty without one.

    Raises InputError if it is broken.
    """
    path = Path(folder) / LOCK
    if not path.is_file():
        return {}
    try:
        lock = read_json(path)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", where=path, mend="restore or delete it") from error
    if not isinstance(lock, dict) or not all(_is_entry(entry) for entry in lock.values()):
        raise InputError("is no lock file of weights", where=path, mend="restore or delete it")
    return lock


def _is_entry(entry: object) -> bool:
    files = entry.get("files") if isinstance(entry, dict) else None
    digests = [*files.values(), entry.get("sha256", "0" * 64)] if isinstance(files, dict) else [None]
    return all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in digests)


def check_locked(folder: str | Path, name: str, files: Iterable[str | Path] | None = None) -> bool:
    """Compare files of the archive `name` with the lock file of `folder`; False if that does not know the archive.

    files : None for all that the lock file knows.  Raises InputError that names the first file that is missing, has
    changed, or did not come with the archive.
    """
    folder = Path(folder)
    entry = read_lock(folder).get(name)
    if entry is None:
        return False
    expected = entry["files"]
    mend = f"delete {folder / name} and fetch it again"
    for path in [folder / file for file in expected] if files is None else map(Path, files):
        known = expected.get(path.relative_to(folder).as_posix())
        if known is None:
            raise InputError("did not come with the weights that were fetched", where=path, mend=mend)
        if not path.is_file():
            raise InputError("is missing", where=path, mend=mend)
        if file_digest(path) != known:
            raise InputError("has changed since it was fetched", where=path, mend=mend)
    return True


def file_digest(path: str | Path, kind: str = "sha256") -> str:
    """Hash of a file's content, in hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=kind != "md5")).hexdigest()
