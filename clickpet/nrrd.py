"""Reading NRRD volumes (.nrrd, .nhdr): https://teem.sourceforge.net/nrrd/format.html.

Only headers that tell where the volume lies in space are read: ITK's reader takes 1 mm and straight axes else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import LPS_RAS
from clickpet.metaimage import beside
from clickpet.voxel_data import Inflating, Stored, check_claim, read_voxels

_MAX_HEADER = 1 << 20  # segmentations of 3D Slicer describe every segment
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
#: Named spaces by what turns them into RAS+.
_SPACES = {
    "left-posterior-superior": LPS_RAS, "lps": LPS_RAS,
    "right-anterior-superior": np.eye(4), "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1, 1, 1]), "las": np.diag([-1.0, 1, 1, 1]),
}  # fmt: skip
_VECTOR = re.compile(r"\(([^()]*)\)|\bnone\b", re.I)


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Array (x, y, z), affine (RAS+ mm) and notes (none) of a NRRD.

    Raises InputError for a header without space, directions or origin, for several components or layers, for data in
    another folder or spread over files, for encodings other than raw and gzip, and for sizes that the data do not
    have; EOFError or zlib.error for damage.
    """
    fields, header_bytes = _header(path)
    shape = _shape(fields, path)
    dtype = _dtype(fields, path)
    affine = _affine(fields, path)
    name = fields.get("data file") or fields.get("datafile")
    data, offset = (beside(path, name), 0) if name else (path, header_bytes)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(f"its encoding is {encoding or 'not told'}", where=path, mend="write it as raw or gzip")
    compressed = encoding != "raw"
    skips = [int(_number(fields.get(skip, "0"), skip, path)) for skip in ("line skip", "byte skip")]
    if skips[0] or (skips[1] and (compressed or skips[1] < -1)):
        raise InputError("skips lines or bytes before its voxels", where=path, mend="write it without a skip")
    size = os.path.getsize(data)
    offset = size - int(np.prod(shape, dtype=object)) * dtype.itemsize if skips[1] == -1 else offset + skips[1]
    check_claim(shape, dtype, size - offset, compressed=compressed, where=path)
    with open(data, "rb") as file:
        file.seek(offset)
        stream = Inflating(file, members=True) if compressed else Stored(file)
        return read_voxels(stream, shape, dtype, where=path), affine, ()


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Fields of the header in lower case, and where the data start: after an empty line."""
    with open(path, "rb") as file:
        block = file.read(_MAX_HEADER)
    if not block.startswith(b"NRRD00"):
        raise InputError(
            "cannot be read as an image (it has no NRRD header)", where=path, mend="copy or export the file again"
        )
    fields, start = {}, block.find(b"\n") + 1
    while start:
        end = block.find(b"\n", start)
        line = block[start : end if end >= 0 else len(block)].decode("utf-8", "replace").strip("\r")
        start = end + 1
        if not line:
            break
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#") and not value.startswith("="):
            fields[key.strip().lower()] = value.strip()
    return fields, start or len(block)


def _shape(fields: dict[str, str], path: Path) -> tuple[int, ...]:
    shape = tuple(int(_number(part, "sizes", path)) for part in fields.get("sizes", "").split())
    if len(shape) == 3:
        return shape
    what = f"has {len(shape)} axes {shape}, not 3"
    if len(shape) == 4:
        what = f"has {shape[0]} values in each voxel (layers or components, 4 axes {shape})"
    raise InputError(what, where=path, mend="give one 3-D volume per file (a segmentation in one layer)")


def _dtype(fields: dict[str, str], path: Path) -> np.dtype:
    told = " ".join(fields.get("type", "").lower().split())
    kind = next((kind for kind, names in _TYPES.items() if told in names), None)
    if kind is None:
        raise InputError(f"holds voxels of the type {told!r}", where=path, mend="give a volume of grey values")
    endian = fields.get("endian", "little" if kind[1] == "1" else "")
    if endian not in ("little", "big"):
        raise InputError("does not tell its byte order (endian)", where=path, mend="export the image again")
    return np.dtype((">" if endian == "big" else "<") + kind)


def _affine(fields: dict[str, str], path: Path) -> np.ndarray:
    space = fields.get("space", "").lower()
    if space not in _SPACES:
        raise _untold(f"its space is {space!r}, which is no orientation of a patient" if space else "no space", path)
    vectors = [_vector(found, path) for found in _VECTOR.finditer(fields.get("space directions", ""))]
    if len(vectors) != 3 or any(vector is None for vector in vectors):
        raise _untold("no space directions", path)
    origin = _VECTOR.search(fields.get("space origin", ""))
    if origin is None:
        raise _untold("no space origin", path)
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
    if not units <= {"mm", ""}:
        raise InputError(f"its lengths are in {', '.join(sorted(units))}", where=path, mend="give them in mm")
    affine = np.eye(4)
    affine[:3, :3] = np.array(vectors).T
    affine[:3, 3] = _vector(origin, path)
    return _SPACES[space] @ affine


def _untold(what: str, path: Path) -> InputError:
    return InputError(
        f"does not tell where it lies: {what} (spacing, orientation and position have to be in the header)",
        where=path,
        mend="convert or export the image again, with its geometry",
    )


def _vector(found: re.Match, path: Path) -> list[float] | None:
    if found[1] is None:
        return None
    vector = [_number(part, "space directions", path) for part in found[1].split(",")]
    return vector if len(vector) == 3 else None


def _number(text: str, name: str, path: Path) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"its {name} {text[:80]!r} is not a number", where=path, mend="mend its header")
    return number
