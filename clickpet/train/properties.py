"""Properties of preprocessed cases (.pkl), read without running code that they may carry."""

from __future__ import annotations

import pickle
from pathlib import Path

from clickpet.errors import InputError

#: All that nnU-Net's properties are made of besides plain containers and numbers.
_ALLOWED = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("collections", "OrderedDict"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def read_properties(path: str | Path) -> dict:
    """nnU-Net's properties of a case; InputError for a broken file and for one that holds more than arrays."""
    try:
        with open(path, "rb") as file:
            return _ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, ValueError) as error:
        raise InputError(
            f"cannot be read as properties of a case ({error})", where=path, mend="delete it: it is made again"
        ) from error


def data_digest(path: str | Path) -> str:
    """Digest of a preprocessed case's data, which its properties carry."""
    return read_properties(path)["digest"]
