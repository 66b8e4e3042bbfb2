"""Masks drawn elsewhere (DICOM SEG, RTSTRUCT) brought onto the PET's grid.

Both kinds are a set of planes, each with a shape in it. A PET slice takes the nearest plane, if that is not farther
than half the distance between planes, so that positions that differ by hundredths of a millimetre, or planes drawn on
the CT, find their slice. Sources: DICOM PS3.3 C.8.20 (segmentation), C.8.8.6 (ROI contour).
"""

from __future__ import annotations

import fnmatch
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from scipy.ndimage import map_coordinates

from clickpet.dicom.series import RTSTRUCT_STORAGE, SEG_STORAGE, Series, find_series
from clickpet.dicom.stack import read_dataset
from clickpet.errors import InputError
from clickpet.images import Image

_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Points of one plane may lie this far (in slices) from each other along the slice axis.
_FLAT_VOX = 0.25
#: A plane counts for slices up to this part of the planes' distance away.
_REACH = 0.55
#: Planes farther apart are separate findings, not neighbours.
_NEIGHBOURS_MM = 10.0
#: A fractional segment counts from this part of its maximum on.
_HALF = 0.5

log = logging.getLogger(__name__)


def load_mask(
    source: str | Path,
    reference: Image,
    *,
    roi: str | int | Sequence[str | int] | None = None,
    frames_of_reference: Sequence[str] = (),
) -> np.ndarray:
    """A DICOM SEG or RTSTRUCT as uint8 mask (0 or 1) on the grid of `reference`, the PET (x, y, z).

    source : a file, or a folder that holds one SEG or RTSTRUCT.
    roi : name or number of the regions (segments) to take, one or several, case ignored, names with * as in file
        names; None takes all together.
    frames_of_reference : FrameOfReferenceUIDs of the study's PET and CT (`Series.frame_of_reference`); where they are
        given, the object's has to be among them.

    Contours are filled by the even-odd rule (a contour inside another one is a hole), voxels count by their centres.
    Fractional segments count from half their maximum on.

    Raises InputError where there is no such object or more than one, for an unknown `roi`, no closed contour, another
    frame of reference, planes tilted against the PET's slices, and a mask that does not meet the PET.
    """
    series, file = _find_one(source)
    dataset = _read(file)
    read = _contours if series.sop_class == RTSTRUCT_STORAGE else _segments
    mask = np.zeros(reference.shape, bool)
    with _complete(file):
        _refuse_other_frame(dataset, {frame for frame in frames_of_reference if frame}, file)
        regions = read(dataset, roi, file)
    met = False
    for region in regions:
        filled, touched = region.on_grid(reference, file)
        mask |= filled
        met |= touched
    if not met:
        raise InputError(
            "does not overlap the PET",
            where=file,
            mend="give the object that was drawn on this study's PET or CT",
        )
    if not mask.any():
        log.warning("%s: its regions hold no voxel centre of the PET; the mask is empty", file)
    return mask.view(np.uint8)


def list_regions(source: str | Path) -> list[str]:
    """Names of the regions (RTSTRUCT) or segments (SEG) in an object, in its order."""
    series, file = _find_one(source)
    dataset = _read(file)
    with _complete(file):
        names = _roi_names(dataset) if series.sop_class == RTSTRUCT_STORAGE else _segment_names(dataset)
    return list(names.values())


# --- RTSTRUCT ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ContourRegion:
    """One region of an RTSTRUCT; contours are (points, 3) in RAS mm."""

    contours: list[np.ndarray]

    def on_grid(self, reference: Image, file: Path) -> tuple[np.ndarray, bool]:
        """Mask (x, y, z) and whether any point lies inside the PET's field of view."""
        to_voxel = np.linalg.inv(reference.affine)
        contours = [points @ to_voxel[:3, :3].T + to_voxel[:3, 3] for points in self.contours]
        axis = _slice_axis(contours, reference, file)
        places = np.array([contour[:, axis].mean() for contour in contours])
        planes = _grouped(places)
        everything = np.concatenate(contours)
        touched = bool(np.all(everything.max(axis=0) >= -0.5)) and bool(
            np.all(everything.min(axis=0) <= np.array(reference.shape) - 0.5)
        )
        mask = np.zeros(reference.shape, bool)
        view = np.moveaxis(mask, axis, 2)
        flat = [np.delete(contour, axis, axis=1) for contour in contours]
        for index, plane in _nearest_planes([place for place, _ in planes], view.shape[2], reference.spacing_mm[axis]):
            view[:, :, index] = fill_polygons([flat[which] for which in planes[plane][1]], view.shape[:2])
        _note_outside(planes, view.shape[2], file)
        return mask, touched


def fill_polygons(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels (x, y) of a grid whose centres lie inside `polygons`, by the even-odd rule over all of them together.

    polygons : (points, 2) each, in pixel coordinates (the centre of the first pixel is 0, 0), closed implicitly.
    Returns bool (x, y). A centre exactly on an edge counts at the edge's lower side only, so that two polygons that
    share an edge never both hold it.
    """
    flips = np.zeros((shape[0] + 1, shape[1]), bool)
    for polygon in polygons:
        ends = np.roll(polygon, -1, axis=0)
        for (x0, y0), (x1, y1) in zip(polygon, ends, strict=True):
            if y0 == y1:
                continue
            low, high = min(y0, y1), max(y0, y1)
            rows = np.arange(max(0, int(np.ceil(low))), min(shape[1], int(np.ceil(high))))
            crossings = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(crossings), 0, shape[0]).astype(int)
            flips[columns, rows] ^= True
    return np.logical_xor.accumulate(flips, axis=0)[:-1]


def _contours(dataset: pydicom.Dataset, roi: object, file: Path) -> list[_ContourRegion]:
    wanted = _selected(_roi_names(dataset), roi, file)
    regions = []
    for item in dataset.get("ROIContourSequence") or []:
        if int(item.ReferencedROINumber) not in wanted:
            continue
        contours = []
        for contour in item.get("ContourSequence") or []:
            if not str(contour.get("ContourGeometricType", "")).startswith("CLOSED"):
                continue
            points = np.array([float(part) for part in contour.get("ContourData") or []])
            if points.size % 3 or not np.all(np.isfinite(points)):
                raise InputError(
                    "has a contour that is no list of points (ContourData (3006,0050))",
                    where=file,
                    mend="export the structure set again",
                )
            if points.size >= 9:  # fewer than three points enclose nothing
                contours.append(points.reshape(-1, 3) * (-1, -1, 1))
        if contours:
            regions.append(_ContourRegion(contours))
    if not regions:
        raise InputError(
            "has no closed contour", where=file, mend="draw the region, or name another one in ingest.label_regions"
        )
    return regions


def _roi_names(dataset: pydicom.Dataset) -> dict[int, str]:
    items = dataset.get("StructureSetROISequence") or []
    names = {int(item.ROINumber): str(item.get("ROIName", "")).strip() for item in items}
    for item in dataset.get("ROIContourSequence") or []:
        names.setdefault(int(item.ReferencedROINumber), "")
    return names


def _slice_axis(contours: list[np.ndarray], reference: Image, file: Path) -> int:
    """The voxel axis along which every contour is flat."""
    spread = np.max([np.ptp(contour, axis=0) for contour in contours], axis=0)
    axis = int(np.argmin(spread))
    if spread[2] <= _FLAT_VOX:
        axis = 2
    if spread[axis] > _FLAT_VOX:
        raise InputError(
            "its contours are tilted against the PET's slices",
            where=file,
            mend="export contours in axial planes",
        )
    return axis


def _grouped(places: np.ndarray) -> list[tuple[float, list[int]]]:
    """Contours by plane: mean place (in slices) and indices, in order of place."""
    planes: list[tuple[float, list[int]]] = []
    for index in np.argsort(places, kind="stable"):
        if planes and places[index] - places[planes[-1][1][0]] <= _FLAT_VOX / 2:
            planes[-1][1].append(int(index))
        else:
            planes.append((float(places[index]), [int(index)]))
    return planes


def _note_outside(planes: list[tuple[float, list[int]]], slices: int, file: Path) -> None:
    outside = sum(not -0.5 <= place <= slices - 0.5 for place, _ in planes)
    if outside:
        log.warning("%s: %d of %d planes lie outside the PET and were left", file, outside, len(planes))


def _nearest_planes(places: Sequence[float], slices: int, slice_mm: float) -> list[tuple[int, int]]:
    """(slice, plane) for every slice that has a plane within half the distance of neighbouring planes.

    places : ascending, in slices. That distance is the smallest gap, at least a slice; a slice if all are far apart.
    """
    ordered = np.asarray(places)
    gap = float(np.diff(ordered).min()) if len(ordered) > 1 else 1.0
    reach = _REACH * (max(1.0, gap) if gap * slice_mm <= _NEIGHBOURS_MM else 1.0)
    pairs = []
    for index in range(max(0, int(ordered[0] - reach)), min(slices, int(ordered[-1] + reach) + 2)):
        plane = int(np.argmin(np.abs(ordered - index)))
        if abs(ordered[plane] - index) <= reach:
            pairs.append((index, plane))
    return pairs


# --- SEG -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _PlaneRegion:
    """One segment of a SEG: frames bool (planes, rows, columns) and each frame's affine (column, row, 0) to RAS mm."""

    frames: np.ndarray
    affines: list[np.ndarray]

    def on_grid(self, reference: Image, file: Path) -> tuple[np.ndarray, bool]:
        """Mask (x, y, z) and whether any frame lies inside the PET's field of view."""
        to_voxel = np.linalg.inv(reference.affine)
        places, corners = [], []
        rows, columns = self.frames.shape[1:]
        rim = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]], float)
        rim = np.column_stack([rim, np.zeros(4), np.ones(4)])
        for affine in self.affines:
            corner = (to_voxel @ affine @ rim.T)[:3].T
            corners.append(corner)
        axis = _slice_axis(corners, reference, file)
        places = np.array([corner[:, axis].mean() for corner in corners])
        everything = np.concatenate(corners)
        touched = bool(np.all(everything.max(axis=0) >= -0.5)) and bool(
            np.all(everything.min(axis=0) <= np.array(reference.shape) - 0.5)
        )
        planes = _grouped(places)
        mask = np.zeros(reference.shape, bool)
        view = np.moveaxis(mask, axis, 2)
        for index, plane in _nearest_planes([place for place, _ in planes], view.shape[2], reference.spacing_mm[axis]):
            for frame in planes[plane][1]:
                view[:, :, index] |= self._on_slice(frame, axis, view.shape[:2], reference)
        _note_outside(planes, view.shape[2], file)
        return mask, touched

    def _on_slice(self, frame: int, axis: int, shape: tuple[int, int], reference: Image) -> np.ndarray:
        """Nearest pixels of one frame at the voxel centres of a slice, moved along the axis into the frame's plane."""
        seen = np.zeros(shape, bool)
        pixels = np.argwhere(self.frames[frame])
        if not len(pixels):
            return seen
        in_plane = [which for which in range(3) if which != axis]
        to_pixel = np.linalg.inv(self.affines[frame]) @ reference.affine
        # column and row as functions of the two voxel axes, for the point of the slice axis that lies in the frame
        share = to_pixel[:2, axis] / to_pixel[2, axis]
        linear = to_pixel[:2, in_plane] - np.outer(share, to_pixel[2, in_plane])
        offset = to_pixel[:2, 3] - share * to_pixel[2, 3]
        box = np.array([pixels.min(axis=0), pixels.max(axis=0)])[:, ::-1] + [[-0.5, -0.5], [0.5, 0.5]]  # column, row
        rim = np.array([[column, row] for column in box[:, 0] for row in box[:, 1]])
        voxels = np.linalg.solve(linear, (rim - offset).T)
        first = np.clip(np.floor(voxels.min(axis=1)).astype(int), 0, shape)
        last = np.clip(np.ceil(voxels.max(axis=1)).astype(int) + 1, first, shape)
        grid = np.indices(last - first, dtype=float).reshape(2, -1) + first[:, np.newaxis]
        columns, rows = linear @ grid + offset[:, np.newaxis]
        values = map_coordinates(
            self.frames[frame].view(np.uint8), [rows, columns], order=0, mode="constant", cval=0, prefilter=False
        )
        seen[first[0] : last[0], first[1] : last[1]] = values.reshape(last - first)
        return seen


def _segments(dataset: pydicom.Dataset, roi: object, file: Path) -> list[_PlaneRegion]:
    wanted = _selected(_segment_names(dataset), roi, file)
    frames = _frames(dataset, file)
    kind = str(dataset.get("SegmentationType", "BINARY")).upper()
    affines = [_frame_affine(dataset, index, file) for index in range(len(frames))]
    if kind == "LABELMAP":
        return [_PlaneRegion(np.isin(frames, sorted(wanted)), affines)]
    if kind == "FRACTIONAL":
        frames = frames >= _HALF * float(dataset.get("MaximumFractionalValue") or 255)
    else:
        frames = frames > 0
    numbers = [_segment_number(dataset, index, file) for index in range(len(frames))]
    regions = []
    for segment in sorted(wanted):
        mine = [index for index, number in enumerate(numbers) if number == segment]
        if mine:
            regions.append(_PlaneRegion(frames[mine], [affines[index] for index in mine]))
    if not regions:
        raise InputError("has no frame of that segment", where=file, mend="name another one in ingest.label_regions")
    return regions


def _segment_names(dataset: pydicom.Dataset) -> dict[int, str]:
    items = dataset.get("SegmentSequence") or []
    names = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")).strip() for item in items}
    if str(dataset.get("SegmentationType", "")).upper() == "LABELMAP":
        background = dataset.get("PixelPaddingValue")
        names.pop(int(background) if background is not None else 0, None)
    return names


def _frames(dataset: pydicom.Dataset, file: Path) -> np.ndarray:
    """Stored frames (frames, rows, columns)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like
        raise InputError(
            f"its frames cannot be decoded ({type(error).__name__})", where=file, mend="export the segmentation again"
        ) from None
    return frames[np.newaxis] if frames.ndim == 2 else frames


def _frame_item(dataset: pydicom.Dataset, index: int, name: str) -> pydicom.Dataset | None:
    """A functional group of a frame: its own, or the one all frames share."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*own[index : index + 1], *shared[:1]]:
        items = group.get(name)
        if items:
            return items[0]
    return None


def _segment_number(dataset: pydicom.Dataset, index: int, file: Path) -> int:
    item = _frame_item(dataset, index, "SegmentIdentificationSequence")
    if item is None:
        raise InputError("a frame does not say its segment", where=file, mend="export the segmentation again")
    return int(item.ReferencedSegmentNumber)


def _frame_affine(dataset: pydicom.Dataset, index: int, file: Path) -> np.ndarray:
    """(column, row, depth) of a frame to RAS mm; depth in mm along the frame's normal."""
    groups = [
        _frame_item(dataset, index, name)
        for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    ]
    keywords = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    values = [None if group is None else group.get(keyword) for group, keyword in zip(groups, keywords, strict=True)]
    if any(value is None or len(value) == 0 for value in values):
        raise InputError(
            "a frame does not say where it lies (plane position, orientation, pixel spacing)",
            where=file,
            mend="export the segmentation with its geometry",
        )
    origin, orientation, pitch = (np.array([float(part) for part in value]) for value in values)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * pitch[1]
    affine[:3, 1] = orientation[3:] * pitch[0]
    affine[:3, 2] = np.cross(orientation[:3], orientation[3:])
    affine[:3, 3] = origin
    return _RAS_LPS @ affine


# --- Both ----------------------------------------------------------------------------------------------------------


def _find_one(source: str | Path) -> tuple[Series, Path]:
    path = Path(source)
    objects = [
        (series, file)
        for series in find_series(path)
        if series.sop_class in SEG_STORAGE or series.sop_class == RTSTRUCT_STORAGE
        for file in series.files
    ]
    if path.is_file():
        objects = [(series, file) for series, file in objects if file == path]
    if not objects:
        raise InputError("holds no DICOM SEG or RTSTRUCT", where=path, mend="give the file of the mask")
    if len(objects) > 1:
        listed = ", ".join(str(file.relative_to(path)) for _, file in objects[:6])
        raise InputError(f"holds {len(objects)} SEG or RTSTRUCT objects ({listed})", where=path, mend="give one file")
    return objects[0]


@contextmanager
def _complete(file: Path) -> Iterator[None]:
    """Attributes that an object of its kind has to have, and this one lacks, are the user's to mend."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # pydicom decodes late and raises whatever a damaged element makes it
        raise InputError(
            f"is a damaged or incomplete DICOM object ({type(error).__name__})",
            where=file,
            mend="copy or export it again",
        ) from None


def _read(file: Path) -> pydicom.Dataset:
    try:
        return read_dataset(file)
    except Exception as error:  # pydicom raises whatever a damaged file makes it
        raise InputError(
            f"is a damaged DICOM file ({type(error).__name__})", where=file, mend="copy it again"
        ) from None


def _refuse_other_frame(dataset: pydicom.Dataset, allowed: set[str], file: Path) -> None:
    frames = {str(dataset.get("FrameOfReferenceUID") or "")}
    frames |= {
        str(item.get("FrameOfReferenceUID") or "") for item in dataset.get("ReferencedFrameOfReferenceSequence") or []
    }
    frames |= {
        str(item.get("ReferencedFrameOfReferenceUID") or "") for item in dataset.get("StructureSetROISequence") or []
    }
    frames.discard("")
    if frames and allowed and not frames & allowed:
        raise InputError(
            "was drawn in another frame of reference (FrameOfReferenceUID (0020,0052)) than the study's",
            where=file,
            mend="give the object that belongs to this study",
        )


def _selected(names: dict[int, str], roi: object, file: Path) -> set[int]:
    """Numbers of the wanted regions."""
    if roi is None:
        return set(names)
    wanted = [roi] if isinstance(roi, str | int) else list(roi)
    numbers = set()
    for one in wanted:
        if isinstance(one, int):
            numbers |= {number for number in names if number == one}
        else:
            numbers |= {number for number, name in names.items() if fnmatch.fnmatchcase(_key(name), _key(one))}
    if not numbers:
        asked = ", ".join(repr(one) for one in wanted)
        listed = ", ".join(repr(name) for name in list(names.values())[:8]) or "none"
        raise InputError(f"has no region {asked}; it has {listed}", where=file, mend="correct ingest.label_regions")
    return numbers


def _key(name: str) -> str:
    return re.sub(r"\s+", " ", name.strip().lower())
