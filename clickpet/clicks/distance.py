"""Clicks as a truncated distance map: how near, in millimetres, the nearest click of either kind is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from clickpet.clicks.model import KINDS, Clicks
from clickpet.clicks.points import size_text
from clickpet.errors import InputError

Window = tuple[slice, slice, slice]


def distance_steps(
    shape: Sequence[int],
    clicks: Clicks,
    steps: Iterable[int],
    *,
    spacing_mm: Sequence[float],
    distance_mm: float,
    order: str = "C",
) -> Iterator[tuple[int, np.ndarray]]:
    """Give (k, map) for each k of `steps`: the distance map of the first k tumour and k background interactions.

    shape : (x, y, z) of the grid;  spacing_mm : of its voxels;  distance_mm : where the distance is truncated;  order :
    memory layout of the maps. Each map is a new float32 array in [-1, 1]: at a voxel whose nearest click, of either
    kind, is d mm away (between the centres of voxels) it is 1 - d / distance_mm for a tumour click and the negative of
    that for a background click, and 0 from distance_mm on. Equally far clicks: tumour. No clicks: zeros.

    Only the windows that clicks reach are computed. Raises InputError for clicks outside the grid.
    """
    drawn, distances = None, None
    for k in steps:
        if distances is None or k < drawn:
            drawn, distances = 0, np.zeros(shape, np.float32, order=order)
        for kind in KINDS:
            for points in clicks.of_kind(kind)[drawn:k]:
                add_nearness(distances, kind, *nearness(points, shape, spacing_mm, distance_mm, kind=kind))
        drawn = k
        yield k, distances.copy(order="K")


def nearness(
    points: np.ndarray,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    distance_mm: float,
    *,
    kind: str = "tumor",
) -> tuple[Window, np.ndarray]:
    """1 - d / distance_mm, at least 0, for the distance d to the nearest of `points`: its window and values, float32.

    points : int64 (n, 3), voxels of one interaction;  kind : of the interaction, for the message of the InputError
    that a point outside the grid of `shape` raises.
    """
    outside = ~((points >= 0) & (points < shape)).all(1)
    if outside.any():
        raise InputError(
            f"the {kind} click {points[outside][0].tolist()} is outside the grid {size_text(shape)}",
            mend="read clicks with their PET",
        )
    reach = [int(distance_mm // edge) for edge in spacing_mm]
    window = tuple(
        slice(max(0, int(low) - far), min(length, int(high) + far + 1))
        for low, high, far, length in zip(points.min(0), points.max(0), reach, shape, strict=True)
    )
    inside = points - [part.start for part in window]
    if len(points) == 1:
        x, y, z = (
            ((np.arange(part.stop - part.start) - index) * edge) ** 2
            for part, index, edge in zip(window, inside[0], spacing_mm, strict=True)
        )
        distances_mm = np.sqrt(x[:, None, None] + y[:, None] + z)
    else:
        from scipy.ndimage import distance_transform_edt

        elsewhere = np.ones([part.stop - part.start for part in window], bool)
        elsewhere[tuple(inside.T)] = False
        distances_mm = distance_transform_edt(elsewhere, sampling=spacing_mm)
    return window, np.maximum(1 - distances_mm / distance_mm, 0).astype(np.float32)


def add_nearness(distances: np.ndarray, kind: str, window: Window, values: np.ndarray) -> None:
    """Add the `nearness` of an interaction of `kind` to a distance map, in place: the nearer one counts."""
    local = distances[window]
    if kind == "tumor":
        np.copyto(local, values, where=(values >= np.abs(local)) & (values > 0))
    else:
        np.copyto(local, -values, where=values > np.abs(local))
