"""Planar shapes on the slices of a volume: which plane a slice takes, and how planes that share a slice combine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

#: Shapes that lie within this of each other along the slice axis are one plane, at most ...
SAME_PLANE_MM = 0.3
#: ... and at most this part of the typical gap between planes.
_SAME_PLANE_PART = 0.2
#: A plane counts for slices up to this part of the typical gap away, or of a slice where that is more.
REACH = 0.55
#: Planes farther apart are separate findings, not neighbours.
NEIGHBOURS_MM = 10.0


def group_places(places_mm: Sequence[float]) -> list[list[int]]:
    """Indices of the shapes of each plane, planes in ascending order.

    Places that differ by rounding are one plane; planes that are drawn closely together stay apart, since what counts
    is small against the upper quartile of the gaps.
    """
    order = np.argsort(places_mm, kind="stable")
    ordered = np.asarray(places_mm, float)[order]
    gaps = np.diff(ordered)
    gaps = gaps[gaps > 1e-3]
    typical = float(np.percentile(gaps, 75)) if gaps.size else np.inf
    together = min(SAME_PLANE_MM, _SAME_PLANE_PART * typical)
    planes: list[list[int]] = []
    first = -np.inf
    for index, place in zip(order, ordered, strict=True):
        if place - first <= together:
            planes[-1].append(int(index))
        else:
            planes.append([int(index)])
            first = place
    return planes


def typical_gap(places: Sequence[float], slice_mm: float) -> float:
    """Gap between neighbouring planes at `places` (ascending), in slices; 1 where there are no neighbours.

    The median of the gaps that are no larger than NEIGHBOURS_MM, so that neither a stray plane nor separate findings
    change it.
    """
    gaps = np.diff(np.asarray(places, float))
    near = gaps[gaps * slice_mm <= NEIGHBOURS_MM]
    return float(np.median(near)) if near.size else 1.0


def combine_planes(
    places: Sequence[float], fill: Callable[[int], np.ndarray], shape: tuple[int, int, int], slice_mm: float
) -> np.ndarray:
    """Mask (x, y, z) of planes at `places` (in slices, ascending) along z; fill(plane) gives its shape, bool (x, y).

    A slice takes the nearest plane within reach. Of the other planes within reach it takes the parts that do not touch
    what nearer planes show: findings beside each other, each as if it were drawn alone.
    """
    mask = np.zeros(shape, bool)
    if not len(places):
        return mask
    ordered = np.asarray(places, float)
    reach = REACH * max(1.0, typical_gap(ordered, slice_mm))
    filled: dict[int, np.ndarray] = {}
    first, last = max(0, int(np.floor(ordered[0] - reach))), min(shape[2], int(np.ceil(ordered[-1] + reach)) + 1)
    for index in range(first, last):
        distances = np.abs(ordered - index)
        near = [int(plane) for plane in np.argsort(distances, kind="stable") if distances[plane] <= reach]
        for plane in list(filled):
            if ordered[plane] < index - reach:
                del filled[plane]
        view = mask[:, :, index]
        for plane in near:
            if plane not in filled:
                filled[plane] = fill(plane)
            _add_apart(view, filled[plane])
    return mask


def _add_apart(view: np.ndarray, shape: np.ndarray) -> None:
    """Add to a slice the parts of a shape that touch nothing in it."""
    if not view.any():
        view |= shape
        return
    if not np.any(shape & ~view):
        return
    box = ndimage.find_objects(shape.view(np.uint8))[0]
    part = shape[box]
    labels, count = ndimage.label(part, structure=np.ones((3, 3)))
    touched = np.unique(labels[view[box] & part])
    apart = np.setdiff1d(np.arange(1, count + 1), touched)
    if apart.size:
        view[box] |= np.isin(labels, apart)
