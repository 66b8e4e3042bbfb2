"""What shares a component with the background clicks in it: tumour clicks, or a peak far above them."""

from __future__ import annotations

import numpy as np

from clickpet.postprocess.component_window import Window, component_at, in_component

#: A background click says that a component is none if its uptake has this share of the highest there or more; with less
#: it says where the lesion ends. Of 0.5 and 0.8, the latter kept more tumours in rounds (docs/beyond.md).
PEAK_SHARE = 0.8
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


def enclosing_voxels(mask: np.ndarray, tumor: np.ndarray) -> np.ndarray:
    """A voxel of each component that encloses a tumour click outside the mask, see `sharing_voxels`: int (n, 3).

    mask : (x, y, z), non-zero is lesion;  tumor : int (n, 3), voxels x, y, z.
    """
    found: list[tuple] = []
    window, member = None, None
    for click in tumor:
        if mask[tuple(click)]:
            continue
        for axis, position in enumerate(click):
            line = mask[tuple(slice(None) if other == axis else click[other] for other in range(3))] != 0
            before, after = np.flatnonzero(line[:position]), np.flatnonzero(line[position + 1 :])
            if not len(before) or not len(after):
                continue
            beside = tuple(before[-1] if other == axis else place for other, place in enumerate(click))
            if member is None or not in_component(window, member, np.array([beside]))[0]:
                window, member = component_at(mask, list(beside))
            place = tuple(one - part.start for one, part in zip(click, window, strict=True))
            if all(0 <= one < length for one, length in zip(place, member.shape, strict=True)) and _is_enclosed(
                member, place
            ):
                found.append(beside)
                break
    return np.array(found, np.int64).reshape(-1, 3)


def spared_peak(suv: np.ndarray, window: Window, member: np.ndarray, against: np.ndarray) -> np.ndarray:
    """The hottest voxel of a component if no background click in it comes near its uptake: int (1, 3), else (0, 3).

    suv : float (x, y, z), g/ml;  window, member : a component, see `component_at`;  against : int (n, 3), the
    background clicks in it. Near is PEAK_SHARE; of several voxels as hot it is the first in C order.
    """
    uptake = np.where(member, suv[window], -np.inf)
    peak = np.unravel_index(np.argmax(uptake), member.shape)
    if (suv[tuple(against.T)] >= PEAK_SHARE * uptake[peak]).any():
        return np.empty((0, 3), np.int64)
    return np.array([[place + part.start for place, part in zip(peak, window, strict=True)]], np.int64)


def _is_enclosed(member: np.ndarray, place: tuple[int, int, int]) -> bool:
    """Whether a component lies on both sides of a place along at least two axes."""
    axes = 0
    for axis, position in enumerate(place):
        line = member[tuple(slice(None) if other == axis else place[other] for other in range(3))]
        axes += bool(line[:position].any() and line[position + 1 :].any())
    return axes >= _ENCLOSING_AXES
