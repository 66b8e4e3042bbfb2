"""Segments of a DICOM SEG: frames in planes, brought onto the PET's grid. DICOM PS3.3 C.8.20."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from scipy.ndimage import map_coordinates

from clickpet.dicom.planes import combine_planes, group_places
from clickpet.dicom.regions import Notes, region_label
from clickpet.dicom.slices import meets_grid, note_outside, slice_axis
from clickpet.dicom.values import header_integer, header_text, header_value
from clickpet.errors import InputError
from clickpet.images import Image

_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: A fractional segment counts from this part of its maximum on.
_HALF = 0.5


@dataclass(frozen=True)
class SegmentRegion:
    """One segment: frames bool (planes, rows, columns) and each frame's affine (column, row, 0) to RAS mm."""

    label: str
    frames: np.ndarray
    affines: list[np.ndarray]

    def on_grid(self, reference: Image, notes: Notes) -> tuple[np.ndarray, bool]:
        """Mask (x, y, z) and whether the frames meet the PET's field of view.

        Frames of one plane are joined; planes combine as in `clickpet.dicom.planes.combine_planes`.
        """
        to_voxel = np.linalg.inv(reference.affine)
        rows, columns = self.frames.shape[1:]
        rim = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]], float)
        rim = np.column_stack([rim, np.zeros(4), np.ones(4)])
        corners = [(to_voxel @ affine @ rim.T)[:3].T for affine in self.affines]
        axis = slice_axis(corners, reference, notes.file)
        slice_mm = reference.spacing_mm[axis]
        places = np.array([corner[:, axis].mean() for corner in corners])
        planes = group_places(places * slice_mm)
        middles = [float(places[plane].mean()) for plane in planes]
        mask = np.zeros(reference.shape, bool)
        view = np.moveaxis(mask, axis, 2)

        def fill(plane: int) -> np.ndarray:
            seen = [self._on_slice(frame, axis, view.shape[:2], reference) for frame in planes[plane]]
            return np.logical_or.reduce(seen)

        view[:] = combine_planes(middles, fill, view.shape, slice_mm)
        note_outside(middles, view.shape[2], self.label, notes)
        return mask, meets_grid(corners, reference.shape)

    @property
    def drawn(self) -> bool:
        """Whether any pixel is set."""
        return bool(self.frames.any())

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


def segment_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """Labels of the segments by SegmentNumber, in the object's order, without the background of a label map."""
    items = header_value(dataset, "SegmentSequence") or []
    names = {int(item.SegmentNumber): header_text(item, "SegmentLabel") for item in items}
    if header_text(dataset, "SegmentationType").upper() == "LABELMAP":
        names.pop(header_integer(dataset, "PixelPaddingValue") or 0, None)
    return names


def read_segments(dataset: pydicom.Dataset, wanted: dict[int, str], notes: Notes) -> list[SegmentRegion]:
    """The wanted segments that have frames; InputError where none has and for frames that do not say where they lie.

    Fractional segments count from half their maximum on.
    """
    file = notes.file
    frames = _frames(dataset, file)
    kind = header_text(dataset, "SegmentationType").upper()
    affines = [_frame_affine(dataset, index, file) for index in range(len(frames))]
    if kind == "LABELMAP":
        labels = ((number, region_label(name, number)) for number, name in wanted.items())
        return [SegmentRegion(label, frames == number, affines) for number, label in labels]
    if kind == "FRACTIONAL":
        frames = frames >= _HALF * float(header_value(dataset, "MaximumFractionalValue") or 255)
    else:
        frames = frames > 0
    numbers = [_segment_number(dataset, index, file) for index in range(len(frames))]
    regions = []
    for segment, name in sorted(wanted.items()):
        mine = [index for index, number in enumerate(numbers) if number == segment]
        if mine:
            regions.append(SegmentRegion(region_label(name, segment), frames[mine], [affines[index] for index in mine]))
    if not regions:
        raise InputError("has no frame of that segment", where=file, mend="name another one in ingest.label_regions")
    return regions


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
