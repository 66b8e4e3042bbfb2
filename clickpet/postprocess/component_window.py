"""The connected component at a voxel, found in a window around it and not in the whole volume."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from clickpet.components import LESION_CONNECTIVITY

Window = tuple[slice, slice, slice]
#: Neighbours that make a lesion one: those of the official evaluation, over faces and edges.
LESION_NEIGHBOURS = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[LESION_CONNECTIVITY])
#: Voxels on either side of the voxel in the first window; a component that leaves it gets a wider one.
_REACH_VOX = 16


def connected_part(mask: np.ndarray, voxel) -> np.ndarray:
    """The component (18-connected) of `mask` (x, y, z) at a voxel of it: bool (x, y, z)."""
    labels, _ = ndimage.label(mask, LESION_NEIGHBOURS)
    return labels == labels[tuple(voxel)]


def component_at(mask: np.ndarray, voxel) -> tuple[Window, np.ndarray]:
    """The lesion (18-connected component of the non-zero voxels of `mask`, (x, y, z)) at a voxel that is not zero.

    Returns (window, member): the smallest box that holds the component, and bool, of the box's shape, where it is.
    What is looked at is the component's box and about as much again, whatever the size of the volume.
    """
    low = [max(0, place - _REACH_VOX) for place in voxel]
    high = [min(length, place + _REACH_VOX + 1) for place, length in zip(voxel, mask.shape, strict=True)]
    while True:
        part = mask[tuple(map(slice, low, high))] != 0
        member = connected_part(part, [place - first for place, first in zip(voxel, low, strict=True)])
        wider = False
        for axis, length in enumerate(mask.shape):
            planes = np.flatnonzero(member.any(axis=tuple(other for other in range(3) if other != axis)))
            span = high[axis] - low[axis]
            first, last = low[axis] + int(planes[0]), low[axis] + int(planes[-1]) + 1
            if first == low[axis] and low[axis] > 0:
                low[axis], wider = max(0, low[axis] - span), True
            if last == high[axis] and high[axis] < length:
                high[axis], wider = min(length, high[axis] + span), True
        if not wider:
            break
    tight = ndimage.find_objects(member.view(np.uint8))[0]
    window = tuple(slice(first + part.start, first + part.stop) for first, part in zip(low, tight, strict=True))
    return window, member[tight]


def in_component(window: Window, member: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points, int (n, 3), voxels of the volume, lie in a component (`component_at`): bool (n,)."""
    places = points - [part.start for part in window]
    inside = ((places >= 0) & (places < member.shape)).all(axis=1)
    inside[inside] = member[tuple(places[inside].T)]
    return inside
