"""Slices of a DICOM series as one volume: order, gaps, doubled and missing slices, affine, pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
import pydicom

from clickpet.dicom.catalogue import Series
from clickpet.dicom.pixels import slice_values, stored_pixels
from clickpet.dicom.values import header_integer, header_text, header_value, header_vector
from clickpet.errors import InputError
from clickpet.images import Image

#: Gaps between slices may differ by this part of the median gap; the mean is the spacing then.
EVEN_GAPS = 0.1
#: From this many median gaps on, a gap means that a slice is missing; gaps between the two are resampled.
MISSING_GAP = 1.5
#: Slices nearer to each other than this part of the median gap lie at one position.
SAME_POSITION = 0.02
#: Largest angle (cosine) between orientations that count as parallel.
_PARALLEL = np.cos(np.deg2rad(0.1))
#: Slices may lie this far beside the line along the slice normal, at most, over the whole length of the stack.
MAX_SIDEWAYS_MM = 1.0


@dataclass(frozen=True, eq=False)
class DicomImage(Image):
    """A volume that was read from DICOM, and what tells whether two belong together; in memory only.

    patient : hash of the PatientID, "" where there is none;  frame_of_reference : its UID, "" where there is none.
    """

    patient: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)


def read_series(series: Series, *, factors: np.ndarray | None = None) -> tuple[DicomImage, dict[str, Any]]:
    """The volume of a series, pixels rescaled by each slice's own slope and intercept, and a record of its geometry.

    factors : (slices,) in the order of `series.files`, multiplied into each slice.
    Gaps that differ by less than EVEN_GAPS of the median give the mean as spacing; larger differences are resampled
    (linear) to even slices; MISSING_GAP medians and more raise InputError.
    """
    stack = stack_slices(series)
    factors = np.ones(series.slices) if factors is None else np.asarray(factors, float)
    volume = np.empty(stack.shape, np.float32)
    for z, index in enumerate(stack.order):
        volume[:, :, z] = slice_values(series, index, float(factors[index])).T
    if stack.positions_mm is not None:
        volume = _evened(volume, stack.positions_mm)
    array, affine = _to_las(volume, stack.affine)
    image = DicomImage(array, affine, patient=series.patient, frame_of_reference=series.frame_of_reference)
    return image, stack.record


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of a series in space, as they are stored.

    order : indices into `series.files`, along the slice normal.  shape : (columns, rows, slices).
    affine : (column, row, slice) index to RAS+ mm.  positions_mm : (slices,) along the normal where the slices have to
    be resampled to even gaps, else None.  record : what was found, for the audit.
    """

    order: list[int]
    shape: tuple[int, int, int]
    affine: np.ndarray
    positions_mm: np.ndarray | None
    record: dict[str, Any]

    @property
    def las_grid(self) -> tuple[tuple[int, int, int], np.ndarray]:
        """Shape and affine of the volume that `read_series` makes."""
        turned, affine = _to_las(np.empty(self.shape, bool), self.affine)
        return turned.shape, affine

    def from_las(self, array: np.ndarray) -> np.ndarray:
        """An array on the grid of `read_series` back in stored order (column, row, slice)."""
        there = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("LAS"), nib.orientations.io_orientation(self.affine)
        )
        return nib.orientations.apply_orientation(array, there)

    def nearest_even(self) -> np.ndarray:
        """For every stored slice the nearest slice of the volume that `read_series` makes (slices,)."""
        if self.positions_mm is None:
            return np.arange(self.shape[2])
        even = np.linspace(self.positions_mm[0], self.positions_mm[-1], self.shape[2])
        return np.abs(self.positions_mm[:, None] - even).argmin(axis=1)


def stack_slices(series: Series) -> Stack:
    """Order the slices of a series and check that they make a volume; InputError where they do not."""
    headers, where = series.headers, series.folder
    normal, rows, columns = _common_plane(series)
    origins = np.array([_needed_vector(series, index, "ImagePositionPatient", 3) for index in range(series.slices)])
    places = origins @ normal
    order = [int(index) for index in np.argsort(places, kind="stable")]
    order, dropped = _without_doubles(series, order, places)
    if len(order) < 2:
        raise InputError("has only one slice position", where=where, mend="give the whole series")
    gaps = np.diff(places[order])
    median = float(np.median(gaps))
    _refuse_missing(series, order, places, gaps, median)
    origins, places = origins[order], places[order]
    _refuse_tilt(origins, normal, where)
    spacing = (places[-1] - places[0]) / (len(order) - 1)
    uneven = float(np.abs(gaps - median).max() / median)
    record = {
        "slices": len(order),
        "slice_gaps_mm": [round(float(edge), 4) for edge in (gaps.min(), gaps.max())],
        "slice_spacing_mm": round(float(spacing), 6),
        "off_even_mm": round(float(np.abs(places - (places[0] + spacing * np.arange(len(order)))).max()), 4),
        "doubled_slices_dropped": dropped,
        "resampled_to_even_slices": uneven > EVEN_GAPS,
    }
    positions = places - places[0] if uneven > EVEN_GAPS else None
    pitch = [float(edge) for edge in _needed_vector(series, order[0], "PixelSpacing", 2)]
    if min(pitch) <= 0:
        raise InputError(
            "PixelSpacing (0028,0030) is not positive", where=series.files[order[0]], mend="mend the header"
        )
    orientation = _needed_vector(series, order[0], "ImageOrientationPatient", 6)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * pitch[1]
    affine[:3, 1] = orientation[3:] * pitch[0]
    affine[:3, 2] = normal * spacing
    affine[:3, 3] = origins[0]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    _refuse_incomplete(headers, len(order), where)
    return Stack(order, (columns, rows, len(order)), affine, positions, record)


def _common_plane(series: Series) -> tuple[np.ndarray, int, int]:
    """Slice normal (LPS), rows and columns, the same in every slice."""
    first = _needed_vector(series, 0, "ImageOrientationPatient", 6)
    lengths = np.linalg.norm(first.reshape(2, 3), axis=1)
    if np.any(np.abs(lengths - 1) > 1e-3) or abs(np.dot(first[:3], first[3:])) > 1e-3:
        raise InputError(
            "ImageOrientationPatient (0020,0037) is no pair of perpendicular directions",
            where=series.files[0],
            mend="mend the header or export the series again",
        )
    pitch = _needed_vector(series, 0, "PixelSpacing", 2)
    matrix = _matrix(series.headers[0])
    if None in matrix:
        raise InputError(
            "Rows (0028,0010) or Columns (0028,0011) is missing", where=series.files[0], mend="export the series again"
        )
    for index, header in enumerate(series.headers):
        own = _needed_vector(series, index, "ImageOrientationPatient", 6)
        if np.dot(own[:3], first[:3]) < _PARALLEL or np.dot(own[3:], first[3:]) < _PARALLEL:
            raise InputError(
                "is not parallel to the other slices (ImageOrientationPatient (0020,0037))",
                where=series.files[index],
                mend="remove it, or give the folder of an axial series",
            )
        if _matrix(header) != matrix or np.any(np.abs(_needed_vector(series, index, "PixelSpacing", 2) - pitch) > 1e-3):
            raise InputError(
                "has another matrix or pixel size than the other slices (Rows, Columns, PixelSpacing)",
                where=series.files[index],
                mend="give the folder of one reconstruction",
            )
        if (header_integer(header, "NumberOfFrames") or 1) > 1:
            raise InputError(
                "holds several frames (NumberOfFrames (0028,0008)), which is not supported",
                where=series.files[index],
                mend="export one file per slice",
            )
    normal = np.cross(first[:3], first[3:])
    return normal / np.linalg.norm(normal), *matrix


def _matrix(header: pydicom.Dataset) -> tuple[int | None, int | None]:
    return header_integer(header, "Rows"), header_integer(header, "Columns")


def _without_doubles(series: Series, order: list[int], places: np.ndarray) -> tuple[list[int], int]:
    """Drop slices that repeat another one exactly; two different slices at one position are an error."""
    gaps = np.diff(places[order])
    apart = gaps[gaps > 1e-3]
    closest = SAME_POSITION * float(np.median(apart)) if apart.size else 1e-3
    kept, dropped = [order[0]], 0
    for index in order[1:]:
        if places[index] - places[kept[-1]] > closest:
            kept.append(index)
        elif _same_pixels(series, index, kept[-1]):
            dropped += 1
        else:
            raise InputError(
                f"lies at the same position as {series.files[kept[-1]].name} but shows something else",
                where=series.files[index],
                mend="the series is dynamic or mixes two reconstructions; give the folder of one",
            )
    return kept, dropped


def _same_pixels(series: Series, index: int, other: int) -> bool:
    scales = [
        tuple(header_value(series.headers[which], keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        for which in (index, other)
    ]
    if scales[0] != scales[1]:
        return False
    return np.array_equal(stored_pixels(series.files[index]), stored_pixels(series.files[other]))


def _refuse_missing(series: Series, order: list[int], places: np.ndarray, gaps: np.ndarray, median: float) -> None:
    wide = np.flatnonzero(gaps >= MISSING_GAP * median)
    if wide.size == 0:
        return
    missing = int(np.sum(np.round(gaps[wide] / median) - 1).clip(min=1))
    first = int(wide[0])
    raise InputError(
        f"about {missing} slice{'s are' if missing != 1 else ' is'} missing: {gaps[first]:.1f} mm lie between "
        f"{series.files[order[first]].name} and {series.files[order[first + 1]].name}, elsewhere {median:.1f} mm",
        where=series.folder,
        mend="export the whole series again",
    )


def _refuse_incomplete(headers: tuple[pydicom.Dataset, ...], slices: int, where: object) -> None:
    announced = header_integer(headers[0], "NumberOfSlices")
    if announced and header_text(headers[0], "Modality") == "PT" and slices < announced:
        raise InputError(
            f"has {slices} of the {announced} slices that NumberOfSlices (0054,0081) announces",
            where=where,
            mend="export the whole series again",
        )


def _refuse_tilt(origins: np.ndarray, normal: np.ndarray, where: object) -> None:
    along = origins[-1] - origins[0]
    length_mm = float(np.dot(along, normal))
    drift_mm = float(np.linalg.norm(along - length_mm * normal))
    if drift_mm > MAX_SIDEWAYS_MM:
        raise InputError(
            f"its slices are stacked askew: they move sideways by {drift_mm:.1f} mm over {length_mm:.0f} mm "
            "(a tilted gantry), which is not supported",
            where=where,
            mend="export it reformatted without tilt",
        )
    step = along / length_mm
    sideways = origins - origins[0] - np.outer((origins - origins[0]) @ normal, step)
    if np.abs(sideways).max() > MAX_SIDEWAYS_MM:
        raise InputError(
            f"its slices are shifted against each other by up to {np.abs(sideways).max():.1f} mm",
            where=where,
            mend="give the folder of one reconstruction",
        )


def _evened(volume: np.ndarray, positions_mm: np.ndarray) -> np.ndarray:
    """Linear interpolation along the last axis from `positions_mm` to as many even positions."""
    slices = len(positions_mm)
    wanted = np.linspace(positions_mm[0], positions_mm[-1], slices)
    below = np.clip(np.searchsorted(positions_mm, wanted, side="right") - 1, 0, slices - 2)
    share = ((wanted - positions_mm[below]) / (positions_mm[below + 1] - positions_mm[below])).astype(np.float32)
    return volume[:, :, below] * (1 - share) + volume[:, :, below + 1] * share


def _to_las(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip and swap axes (no interpolation) so that they run towards left, anterior and superior."""
    there = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt("LAS")
    )
    turned = nib.orientations.apply_orientation(array, there)
    return np.ascontiguousarray(turned), affine @ nib.orientations.inv_ornt_aff(there, array.shape)


def _needed_vector(series: Series, index: int, keyword: str, length: int) -> np.ndarray:
    values = header_vector(series.headers[index], keyword, length)
    if values is None:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        raise InputError(
            f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x}) is missing or unreadable",
            where=series.files[index],
            mend="export the series again",
        )
    return values
