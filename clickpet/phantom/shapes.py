"""Ellipsoids and tubes in millimetres, and how they are filled into a voxel array.

`axes` are the millimetre positions of the voxel centres along x, y and z: the grid has no rotation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ellipsoid:
    """Points within an ellipsoid of `radii` (mm) along the axes around `centre` (mm)."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def parts(self, axes):
        """Yield (slices, bool array) that cover the shape on the grid of the three `axes` (mm)."""
        slices = grid_box(axes, np.subtract(self.centre, self.radii), np.add(self.centre, self.radii))
        x, y, z = (
            ((axis[part] - middle) / radius) ** 2
            for axis, part, middle, radius in zip(axes, slices, self.centre, self.radii, strict=True)
        )
        yield slices, x[:, None, None] + y[:, None] + z <= 1


@dataclass(frozen=True)
class Tube:
    """Points closer than `radius` (mm) to the line through `points` (mm)."""

    points: tuple[tuple[float, float, float], ...]
    radius: float

    def parts(self, axes):
        """Yield (slices, bool array) for each piece of the line."""
        points = np.asarray(self.points, float)
        for start, end in itertools.pairwise(points):
            slices = grid_box(axes, np.minimum(start, end) - self.radius, np.maximum(start, end) + self.radius)
            x, y, z = (axis[part] for axis, part in zip(axes, slices, strict=True))
            x, y, z = x[:, None, None] - start[0], y[:, None] - start[1], z - start[2]
            along = end - start
            share = np.clip((x * along[0] + y * along[1] + z * along[2]) / max(along @ along, 1e-9), 0, 1)
            squared = (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2 + (z - share * along[2]) ** 2
            yield slices, squared <= self.radius**2


def fill(volume: np.ndarray, axes, shape: Ellipsoid | Tube, value: float) -> None:
    """Set the voxels of `volume` (x, y, z) that lie in `shape` to `value`, in place."""
    for part, inside in shape.parts(axes):
        volume[part][inside] = value


def grid_box(axes, low, high) -> tuple[slice, ...]:
    """Index ranges of the points with low <= coordinate <= high; axes may run downwards."""
    slices = []
    for axis, lowest, highest in zip(axes, low, high, strict=True):
        inside = np.flatnonzero((axis >= lowest) & (axis <= highest))
        slices.append(slice(inside[0], inside[-1] + 1) if inside.size else slice(0, 0))
    return tuple(slices)
