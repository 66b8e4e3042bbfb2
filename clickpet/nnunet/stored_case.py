"""A preprocessed case on disk: its properties read without running code, its files held against what was written."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

from clickpet.errors import InputError

#: Endings of the files of a case that hold voxels; the properties end with ".pkl".
BLOCKS = (".b2nd", "_seg.b2nd")
#: What properties are made of besides plain containers, numbers and text: module and name of each class.
_CLASSES = {
    *(
        (f"{package}.multiarray", name)
        for package in ("numpy._core", "numpy.core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"{package}.numeric", "_frombuffer") for package in ("numpy._core", "numpy.core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how bytes are written by old protocols
    *(
        (module, name)
        for module in ("builtins", "__builtin__")  # the second is how old protocols call it
        for name in ("set", "frozenset", "slice", "complex", "bytearray")
    ),
}
_BROKEN = (
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    ImportError,
    MemoryError,
    OverflowError,
)


class _PlainUnpickler(pickle.Unpickler):
    """Reads arrays, plain containers, numbers and text; anything else a pickle may name is not even imported."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _CLASSES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def read_properties(path: str | Path) -> dict:
    """nnU-Net's properties of a preprocessed case ({case}.pkl), without running code that the file may hold.

    Raises InputError for a missing or broken file and for one that holds more than arrays, containers and numbers.
    """
    mend = "delete it and run the workflow again, which preprocesses this case anew"
    try:
        with open(path, "rb") as file:
            properties = _PlainUnpickler(file).load()
    except FileNotFoundError:
        raise InputError("no such file", where=path, mend="run the workflow again") from None
    except pickle.UnpicklingError as error:
        raise InputError(f"refused: it holds more than arrays and numbers ({error})", where=path, mend=mend) from error
    except _BROKEN as error:
        raise InputError(f"cannot be read ({type(error).__name__})", where=path, mend=mend) from error
    if not isinstance(properties, dict):
        raise InputError("holds no properties of a case", where=path, mend=mend)
    return properties


def write_properties(path: str | Path, properties: dict) -> None:
    """Write the properties beside the case's files, which are there already, with "files": their sizes and SHA-256."""
    path = Path(path)
    files = {part: [file.stat().st_size, _digest(file)] for part in BLOCKS if (file := _block(path, part)).is_file()}
    with open(path, "wb") as file:
        pickle.dump({**properties, "files": files}, file)


def check_stored_case(path: str | Path, *, contents: bool = False) -> dict:
    """The properties of a case whose files are as they were written; InputError names one that is not.

    contents : also hash files that are newer than the properties, which are written last; else only sizes are compared.
    """
    path = Path(path)
    properties = read_properties(path)
    for part, (size, digest) in properties.get("files", {}).items():
        file = _block(path, part)
        mend = "delete it and run the workflow again, which preprocesses this case anew"
        if not file.is_file():
            raise InputError("no such file", where=file, mend="run the workflow again")
        found = file.stat()
        if found.st_size != size:
            raise InputError(f"has {found.st_size} bytes, {size} were written", where=file, mend=mend)
        if contents and found.st_mtime_ns > path.stat().st_mtime_ns and _digest(file) != digest:
            raise InputError("has changed since it was written", where=file, mend=mend)
    return properties


def _block(properties: Path, part: str) -> Path:
    return properties.with_name(properties.name.removesuffix(".pkl") + part)


def _digest(file: Path) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
