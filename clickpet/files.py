"""Files written whole or not at all, JSON read strictly, hashes of contents."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from clickpet.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` (same suffixes) and rename it to `path` on success.

    Missing parent folders are made. On an error the temporary file is removed and `path` keeps
    what it held before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside the folder `path`, to be made and filled; it takes the place of `path` on success.

    On an error the temporary folder is removed and `path` keeps what it held before.
    """
    path = Path(path)
    temporary, old = (path.with_name(f".{secrets.token_hex(4)}.{path.name}") for _ in range(2))
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Make `target` a hard link to the file `source`, or a copy with its times where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: object) -> str:
    """A value as the JSON text that `write_json` writes."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n"


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON; not-a-number becomes null, numpy scalars plain numbers."""
    write_text(path, json_text(value))


def read_json(path: str | Path) -> object:
    """Read a JSON file (UTF-8). Raises OSError, or InputError as `parse_json` does."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8-sig"), where=path)
    except UnicodeDecodeError as error:
        raise InputError("is not a text file in UTF-8", where=path) from error


def parse_json(text: str, *, where: object) -> object:
    """The value that a JSON text holds. `where` : the file, for messages.

    Raises InputError, a line that names the place, for text that is not JSON, an object that has a key twice (one of
    the two values would be lost), numbers of thousands of digits, and values nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except InputError as error:
        raise InputError(f"is ambiguous JSON: {error}", where=where, mend="keep one of the two") from None
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON ({error})", where=where, mend="write the file again") from error
    except RecursionError as error:
        raise InputError("is JSON that is nested too deeply", where=where, mend="write the file again") from error
    except ValueError as error:  # of int(), which takes some thousands of digits
        raise InputError("holds a number of thousands of digits", where=where, mend="correct that number") from error


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        double = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InputError(f"the key {double[:80]!r} is there twice in one object")
    return found


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def content_hash(*paths: str | Path) -> str:
    """Hash of the contents of `paths` in their order (12 hex digits of SHA-256), whatever their times."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:12]
