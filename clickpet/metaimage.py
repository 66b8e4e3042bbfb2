"""Reading MetaImage volumes (.mha, .mhd): https://itk.org/Wiki/MetaIO/Documentation.

ITK's own reader takes 1 mm where no spacing is told, gives zeros where the compressed data are damaged, and opens
whatever file the header names; this one refuses all three.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import LPS_RAS
from clickpet.voxel_data import Inflating, Stored, check_claim, read_voxels

#: A header is a few hundred bytes; ElementDataFile, its last line, comes within so many.
_MAX_HEADER = 1 << 16
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i8", "MET_ULONG": "u8", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
#: Names that one field has had in the format's history, today's first.
_SPACING = ("ElementSpacing", "ElementSize")
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")


def read_metaimage(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Array (x, y, z), affine (RAS+ mm) and notes (none) of a MetaImage.

    Raises InputError for a header without spacing, orientation or origin, for several components, for data in
    another folder or spread over files, and for sizes that the data do not have; EOFError or zlib.error for damage.
    """
    fields, header_bytes = _header(path)
    shape, dtype = _layout(fields, path)
    affine = _affine(fields, len(shape), path)
    data, offset = _data_file(fields, header_bytes, path)
    size = os.path.getsize(data)
    if offset < 0:  # HeaderSize -1: the voxels are the end of the file
        offset = size - int(np.prod(shape, dtype=object)) * dtype.itemsize
    compressed = _flag(fields, "CompressedData")
    told = fields.get("CompressedDataSize", "")
    if compressed and told.isdigit() and int(told) not in (0, size - offset):
        raise InputError(
            f"cannot be read as an image: its header tells of {told} compressed bytes, {data.name} has {size - offset}",
            where=path,
            mend="copy or export the file again",
        )
    check_claim(shape, dtype, size - offset, compressed=compressed, where=path)
    with open(data, "rb") as file:
        file.seek(offset)
        stream = Inflating(file, members=False) if compressed else Stored(file)
        return read_voxels(stream, shape[:3], dtype, where=path), affine, ()


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Fields of the header, and its length in bytes."""
    with open(path, "rb") as file:
        block = file.read(_MAX_HEADER)
    fields, start = {}, 0
    while (end := block.find(b"\n", start)) >= 0:
        key, equals, value = block[start:end].decode("latin-1").partition("=")
        start = end + 1
        if not equals:
            if key.strip():
                break
            continue
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return fields, start
    raise InputError(
        "cannot be read as an image (it has no whole MetaImage header)", where=path, mend="copy or export it again"
    )


def _layout(fields: dict[str, str], path: Path) -> tuple[tuple[int, ...], np.dtype]:
    shape = tuple(int(value) for value in _numbers(fields, ("DimSize",), path))
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise InputError(f"has {len(shape)} axes {shape}, not 3", where=path, mend="give one 3-D volume per file")
    components = fields.get("ElementNumberOfChannels", "1")
    if components != "1":
        raise InputError(
            f"has {components} values in each voxel (components, layers or colours)",
            where=path,
            mend="give one value in each voxel",
        )
    if not _flag(fields, "BinaryData", "True"):
        raise InputError("holds its voxels as text", where=path, mend="write it as binary data")
    if fields.get("ElementType") not in _TYPES:
        raise InputError(
            f"holds voxels of the type {fields.get('ElementType')}",
            where=path,
            mend=f"give one of {', '.join(_TYPES)}",
        )
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    return shape, np.dtype((">" if big else "<") + _TYPES[fields["ElementType"]])


def _affine(fields: dict[str, str], n_axes: int, path: Path) -> np.ndarray:
    unit = fields.get("DistanceUnits", "mm")
    if unit not in ("mm", "?"):
        raise InputError(f"its lengths are in {unit}", where=path, mend="give them in mm")
    spacing = _numbers(fields, _SPACING, path, n_axes)
    directions = np.reshape(_numbers(fields, _DIRECTIONS, path, n_axes**2), (n_axes, n_axes))  # a row an axis
    origin = _numbers(fields, _ORIGIN, path, n_axes)
    if not all(edge > 0 for edge in spacing):
        raise InputError(f"voxel spacing {spacing} is not positive", where=path, mend="mend its header")
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3].T * spacing[:3]
    affine[:3, 3] = origin[:3]
    return LPS_RAS @ affine


def _numbers(fields: dict[str, str], names: tuple[str, ...], path: Path, count: int | None = None) -> list[float]:
    name = next((name for name in names if name in fields), None)
    if name is None:
        raise InputError(
            f"does not tell its {names[0]} (spacing, orientation and position have to be in the header)",
            where=path,
            mend="convert or export the image again, with its geometry",
        )
    try:
        numbers = [float(part) for part in fields[name].split()]
    except ValueError:
        numbers = []
    if not numbers or (count is not None and len(numbers) != count) or not np.all(np.isfinite(numbers)):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise InputError(f"its {name} {fields[name][:80]!r} is not {wanted}", where=path, mend="mend its header")
    return numbers


def _flag(fields: dict[str, str], name: str, default: str = "False") -> bool:
    return fields.get(name, default).lower() in ("true", "1", "t")


def _data_file(fields: dict[str, str], header_bytes: int, path: Path) -> tuple[Path, int]:
    """The file that holds the voxels, and where they start in it."""
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, header_bytes
    skip = fields.get("HeaderSize", "0")
    return beside(path, name), int(skip) if skip.removeprefix("-").isdigit() else 0


def beside(path: Path, name: str) -> Path:
    """The data file `name` of the header `path`; InputError unless it is one file in the header's folder or below."""
    if name.split(" ")[0].upper() == "LIST" or "%" in name:
        raise InputError(
            f"its voxels are spread over several files ({name[:80]})", where=path, mend="give one file, such as .mha"
        )
    folder = os.path.abspath(path.parent)
    data = os.path.normpath(os.path.join(folder, name))
    if not data.startswith(folder.rstrip(os.sep) + os.sep):
        raise InputError(
            f"its voxels lie in another folder ({name[:200]})",
            where=path,
            mend="put both files into one folder, or give one file, such as .mha or .nii.gz",
        )
    if not os.path.isfile(data):
        raise InputError(f"names a file of voxels that is not there ({name[:200]})", where=path, mend="copy both files")
    return Path(data)
