"""Reading NIfTI volumes (.nii, .nii.gz): header checked, lengths in mm, voxels whole and scaled.

nibabel reads the header's fields; what it would mend or pass over without a word is refused or noted here.
"""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import GRID_TOLERANCE_VOX, corner_distance_mm, spacing_mm
from clickpet.voxel_data import Inflating, Stored, check_claim, grey_type, is_gzip, read_voxels

#: Orientation codes of NIfTI; 0 means "not told".
_ORIENTATION_CODES = range(6)
#: Length units of NIfTI (xyzt_units, lowest three bits): name and mm.
_UNITS = {1: ("metre", 1e3), 2: ("millimetre", 1.0), 3: ("micrometre", 1e-3)}
#: Voxel edges of scans of people, in mm; a unit other than millimetre that leads elsewhere was not meant.
_EDGES_MM = (0.05, 50.0)
#: Header extensions are text; more than this before the first voxel is no header.
_MAX_OFFSET = 1 << 26
#: Voxels that are scaled at a time.
_SLAB = 1 << 20


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Array (x, y, z), affine (RAS+ mm) and notes of a NIfTI file, compressed or not, whatever its suffix says.

    Slope and intercept are applied (float32 then); lengths in metres or micrometres become mm, with a note. Raises
    InputError for what no reader could make sense of; damaged data raise EOFError, zlib.error, OSError or nibabel's
    HeaderDataError.
    """
    with open(path, "rb") as file:
        compressed = is_gzip(file)
        stream = Inflating(file, members=True) if compressed else Stored(file)
        block = _read_up_to(stream, nib.Nifti2Header.sizeof_hdr)
        header = _header(block, path)
        shape, dtype = _shape(header, path), grey_type(header.get_data_dtype(), path)
        affine, notes = _affine(header, shape, path)
        offset = int(header.get_data_offset())
        if not header.sizeof_hdr <= offset <= _MAX_OFFSET:
            raise InputError(f"its voxels start at byte {offset}", where=path, mend="convert or export the image again")
        stored = os.path.getsize(path) - (0 if compressed else offset)
        check_claim(shape, dtype, stored, compressed=compressed, where=path)
        array = read_voxels(_from_offset(stream, block, offset), shape, dtype, where=path)
    slope, intercept = header.get_slope_inter()
    if slope is not None and (slope, intercept) != (1, 0):
        array = _scaled(array, slope, intercept)
    return array, affine, notes


def _read_up_to(stream, size: int) -> bytes:
    block = bytearray(size)
    return bytes(block[: stream.read_into(memoryview(block))])


def _from_offset(stream, block: bytes, offset: int) -> _Started:
    """The stream, of which `block` has been read, from byte `offset` of the file on."""
    missing = offset - len(block)
    if missing > 0 and len(_read_up_to(stream, missing)) < missing:
        raise EOFError("the file ends before its first voxel")
    return _Started(block[offset:], stream)


class _Started:
    """A stream of which some bytes have been read already."""

    def __init__(self, start: bytes, stream):
        self._start, self._stream = start, stream

    def read_into(self, view: memoryview) -> int:
        count = min(len(self._start), len(view))
        view[:count], self._start = self._start[:count], self._start[count:]
        return count + self._stream.read_into(view[count:])


def _header(block: bytes, path: Path) -> nib.Nifti1Header:
    sizes = [int.from_bytes(block[:4], order) for order in ("little", "big")]
    kind = next((kind for kind in (nib.Nifti1Header, nib.Nifti2Header) if kind.sizeof_hdr in sizes), None)
    magic = b"" if kind is None else (block[344:347] if kind is nib.Nifti1Header else block[4:7])
    if kind is None or len(block) < kind.sizeof_hdr or magic not in (b"n+1", b"n+2"):
        raise InputError(
            "cannot be read as an image (it has no NIfTI header)", where=path, mend="copy or export the file again"
        )
    raw = kind(block[: kind.sizeof_hdr], check=False)
    _check_raw(raw, path)
    return kind(block[: kind.sizeof_hdr])


def _check_raw(header: nib.Nifti1Header, path: Path) -> None:
    """Refuse what nibabel would mend without a word: no spacing becomes 1 mm, an unknown orientation code none."""
    lengths, edges = header["dim"][1:4].tolist(), header["pixdim"][1:4].tolist()
    if any(length < 1 for length in lengths[: max(0, int(header["dim"][0]))]):
        raise InputError(f"has no voxels (size {lengths})", where=path, mend="convert or export the image again")
    if not all(np.isfinite(edge) and edge != 0 for edge in edges):
        raise InputError(f"voxel spacing {edges} is not positive", where=path, mend="mend its header")
    codes = [int(header[name]) for name in ("qform_code", "sform_code")]
    if not any(codes) or any(code not in _ORIENTATION_CODES for code in codes):
        raise InputError(
            f"does not tell its orientation (qform code {codes[0]}, sform code {codes[1]})",
            where=path,
            mend="convert it again, or set the codes to 1 if the affine is right",
        )


def _shape(header: nib.Nifti1Header, path: Path) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in header.get_data_shape())
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        layers = "" if len(shape) < 3 else " (several volumes, layers or components)"
        raise InputError(
            f"has {len(shape)} axes {shape}, not 3{layers}", where=path, mend="give one 3-D volume per file"
        )
    return shape[:3]


def _affine(header: nib.Nifti1Header, shape, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine that readers agree on (sform before qform) in mm, and notes on what the header leaves open."""
    affine, notes = header.get_best_affine(), []
    unit, factor = _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0))
    if factor != 1:
        affine = np.diag([factor, factor, factor, 1.0]) @ affine
        edges = spacing_mm(affine)
        if np.all(np.isfinite(edges)) and not _EDGES_MM[0] <= min(edges) <= max(edges) <= _EDGES_MM[1]:
            raise InputError(
                f"its lengths are in {unit}s, which makes voxels of {'x'.join(f'{edge:.4g}' for edge in edges)} mm",
                where=path,
                mend="set the unit (xyzt_units) to what the spacing is in",
            )
        notes.append(f"lengths were in {unit}s (xyzt_units) and became millimetres")
    elif not unit:
        notes.append("no unit of length is told (xyzt_units): taken as millimetres")
    if int(header["sform_code"]) and np.all(np.isfinite(affine)):
        notes += _contradictions(header, shape, affine, factor)
    return affine, tuple(notes)


def _contradictions(header: nib.Nifti1Header, shape, affine: np.ndarray, factor: float) -> list[str]:
    """Notes on what else the header says of the grid that does not fit its sform, which is taken."""
    allowed_mm = GRID_TOLERANCE_VOX * min(spacing_mm(affine))
    edges = np.abs(header["pixdim"][1:4].astype(float)) * factor
    if np.abs((edges - spacing_mm(affine)) * shape).max() > allowed_mm:
        told, taken = ("x".join(f"{edge:.4g}" for edge in one) for one in (edges, spacing_mm(affine)))
        return [f"the header tells a spacing of {told} mm, its sform {taken} mm: the sform was taken"]
    if int(header["qform_code"]):
        try:
            other = np.diag([factor, factor, factor, 1.0]) @ header.get_qform()
        except (ValueError, nib.spatialimages.HeaderDataError):
            return ["its qform is not valid: the sform was taken"]
        off_mm = corner_distance_mm(shape, affine, other)
        if not off_mm <= allowed_mm:
            return [f"its qform and sform differ (a corner is {off_mm:.3g} mm off): the sform was taken"]
    return []


def _scaled(array: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Slope and intercept applied in float64, as float32, slab by slab."""
    scaled = np.empty(array.shape, dtype=np.float32, order="F")
    source, target = array.reshape(-1, order="F"), scaled.reshape(-1, order="F")
    for start in range(0, source.size, _SLAB):
        part = slice(start, start + _SLAB)
        target[part] = source[part] * np.float64(slope) + np.float64(intercept)
    return scaled
