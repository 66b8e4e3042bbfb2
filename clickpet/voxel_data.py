"""Voxels of an image file: exactly as many bytes as its header asks for, and none left over.

Sizes are compared with the file before memory is taken, and the check sums of compressed data are looked at, which
readers that stop at the last voxel never reach.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clickpet.errors import InputError

#: Deflate packs at most 1032 bytes into one (zlib's documentation, "Maximum Compression Factor").
DEFLATE_RATIO = 1032
#: More voxels than this are no scan of a person (a CT of 512 x 512 x 2000 has a quarter).
MAX_VOXELS = 2**31
PIECE = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
#: zlib's window bits: gzip alone, or gzip and zlib told apart by their first bytes.
_GZIP, _EITHER = 31, 47


class Inflating:
    """Bytes of a gzip or zlib stream in order, every check sum looked at; EOFError or zlib.error for a damaged one.

    file : open for reading, at the first compressed byte.  members : whether several streams may follow each other,
    as gzip allows.
    """

    def __init__(self, file: BinaryIO, *, members: bool):
        self._file, self._members = file, members
        self._stream = zlib.decompressobj(_GZIP if members else _EITHER)
        self._given = b""

    def read_into(self, view: memoryview) -> int:
        """Fill `view`; returns how many bytes there were, less only at the end."""
        done = 0
        while done < len(view):
            piece = self._piece(min(len(view) - done, PIECE))
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def _piece(self, most: int) -> bytes:
        while True:
            if self._stream.eof and not self._next_member():
                return b""
            given = self._given or self._file.read(PIECE)
            piece = self._stream.decompress(given, most)
            self._given = self._stream.unconsumed_tail
            if piece:
                return piece
            if not given and not self._stream.eof:
                raise EOFError("the compressed data end early")

    def _next_member(self) -> bool:
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest:
            rest = self._file.read(PIECE)
            if not rest:
                return False
            rest = rest.lstrip(b"\0")  # padding is allowed after gzip
        if len(rest) == 1:
            rest += self._file.read(1)
        if not self._members or not rest.startswith(_GZIP_MAGIC):
            raise zlib.error("bytes that are not compressed follow the compressed data")
        self._stream, self._given = zlib.decompressobj(_GZIP), rest
        return True


class Stored:
    """Bytes of a file that is not compressed, with the face of `Inflating`."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read_into(self, view: memoryview) -> int:
        """Fill `view`; returns how many bytes there were, less only at the end."""
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done


def is_gzip(file: BinaryIO) -> bool:
    """Whether a file, open at its beginning, is compressed by gzip; leaves it at its beginning."""
    found = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    return found


def check_claim(shape, dtype: np.dtype, stored_bytes: int, *, compressed: bool, where: Path) -> int:
    """Bytes that a header claims; InputError if the file cannot hold as many, before memory is taken for them.

    stored_bytes : of the file, from the first voxel on.
    """
    n_voxels = 1
    for length in shape:
        n_voxels *= int(length)  # Python integers do not overflow
    size = "x".join(str(length) for length in shape)
    if any(length < 1 for length in shape):
        raise InputError(f"has no voxels (size {size})", where=where, mend="convert or export the image again")
    if n_voxels > MAX_VOXELS:
        raise InputError(
            f"its header claims {size} voxels, more than any scan of a person has",
            where=where,
            mend="mend its header or convert the image again",
        )
    claimed = n_voxels * dtype.itemsize
    if claimed > stored_bytes * (DEFLATE_RATIO if compressed else 1):
        raise InputError(
            f"cannot be read as an image: cut off, its header asks for {size} voxels ({claimed} bytes), "
            f"the file has {max(stored_bytes, 0)}{' compressed' if compressed else ''} bytes for them",
            where=where,
            mend="copy or export the file again",
        )
    return claimed


def read_voxels(stream: Inflating | Stored, shape, dtype: np.dtype, *, where: Path) -> np.ndarray:
    """Voxels (x, y, z), x running fastest, in native byte order; `stream` ends with the last one.

    The claim must have been checked. Raises EOFError if there are fewer, InputError if there are more.
    """
    array = np.empty(shape, dtype=dtype, order="F")
    view = memoryview(array.reshape(-1, order="F").view(np.uint8))
    if stream.read_into(view) < len(view):
        raise EOFError("fewer voxels than its header asks for")
    if stream.read_into(memoryview(bytearray(1))):
        size = "x".join(map(str, shape))
        raise InputError(
            f"holds more than the {size} voxels that its header asks for: slices would be left out",
            where=where,
            mend="mend the size in its header or export the image again",
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def grey_type(dtype: np.dtype, where: Path) -> np.dtype:
    """`dtype` if a voxel of it is one number that NumPy and ITK know; InputError for colours and complex numbers."""
    if dtype.fields or dtype.kind == "V":
        what = "holds colours, not one value in each voxel"
    elif dtype.kind == "c":
        what = "holds complex numbers"
    elif dtype.kind not in "iuf" or dtype.itemsize > 8:
        what = f"holds voxels of the type {dtype.name}"
    else:
        return dtype
    raise InputError(what, where=where, mend="give a volume of grey values (CT in HU, PET in SUV, mask of 0 and 1)")
