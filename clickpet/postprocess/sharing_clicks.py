"""Which tumour clicks share a component with the background clicks in it."""

from __future__ import annotations

import numpy as np

from clickpet.postprocess.component_window import Window

#: Axes along which a component lies on both sides of a click that it encloses.
_ENCLOSING_AXES = 2


def sharing_voxels(
    window: Window, member: np.ndarray, tumor: np.ndarray, background: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Voxels of a component that stand for the tumour clicks that share it: int (n, 3), of the volume.

    window, member : a component, see `component_at`;  tumor, background : int (n, 3), voxels x, y, z, none of both
    kinds;  edges : (3,), of a voxel, mm.

    A tumour click in the component stands for itself. One outside that the component encloses (it lies on both sides of
    the click along two axes: the cold centre of a tumour) is stood for by the nearest voxel of the component without a
    background click; of several as near the first in C order.
    """
    low = np.array([part.start for part in window])
    within = ((tumor >= low) & (tumor < low + member.shape)).all(axis=1)
    free = None
    found = []
    for click in tumor[within]:
        place = tuple(click - low)
        if member[place]:
            found.append(click)
        elif _is_enclosed(member, place):
            if free is None:
                without = member.copy()
                taken = background[((background >= low) & (background < low + member.shape)).all(axis=1)]
                without[tuple((taken - low).T)] = False
                free = np.argwhere(without) + low
            if len(free):
                away_mm = np.linalg.norm((free - click) * edges, axis=1)
                found.append(free[np.argmin(away_mm.round(6))])
    return np.array(found, np.int64).reshape(-1, 3)


def _is_enclosed(member: np.ndarray, place: tuple[int, int, int]) -> bool:
    """Whether a component lies on both sides of a place along at least two axes."""
    axes = 0
    for axis, position in enumerate(place):
        line = member[tuple(slice(None) if other == axis else place[other] for other in range(3))]
        axes += bool(line[:position].any() and line[position + 1 :].any())
    return axes >= _ENCLOSING_AXES
