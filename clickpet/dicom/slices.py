"""Planar shapes against the slices of a volume: along which axis they are flat, and whether they meet it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clickpet.dicom.regions import Notes
from clickpet.errors import InputError
from clickpet.images import Image

#: Points of one plane may lie this far (in slices) from each other along the slice axis.
FLAT_VOX = 0.25


def slice_axis(shapes: Sequence[np.ndarray], reference: Image, file: Path) -> int:
    """The voxel axis along which every shape (points, 3), in voxels, is flat; InputError where they are tilted."""
    spread = np.max([np.ptp(shape, axis=0) for shape in shapes], axis=0)
    axis = 2 if spread[2] <= FLAT_VOX else int(np.argmin(spread))
    if spread[axis] > FLAT_VOX:
        raise InputError(
            "its contours are tilted against the PET's slices",
            where=file,
            mend="export contours in axial planes",
        )
    return axis


def meets_grid(shapes: Sequence[np.ndarray], shape: Sequence[int]) -> bool:
    """Whether the box around all shapes (points, 3), in voxels, meets a grid."""
    low = np.min([points.min(axis=0) for points in shapes], axis=0)
    high = np.max([points.max(axis=0) for points in shapes], axis=0)
    return bool(np.all(high >= -0.5) and np.all(low <= np.array(shape) - 0.5))


def note_outside(places: Sequence[float], slices: int, label: str, notes: Notes) -> None:
    """Note planes that lie above or below the volume."""
    outside = sum(not -0.5 <= place <= slices - 0.5 for place in places)
    if outside:
        notes.add(f"{label}: {outside} of {len(places)} planes lie outside the PET and were left")
