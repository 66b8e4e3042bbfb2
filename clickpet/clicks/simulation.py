"""Simulation of clicks from the ground truth by the official protocol of autoPET IV."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from clickpet.clicks.model import Clicks
from clickpet.clicks.points import is_inside, size_text
from clickpet.errors import InputError

#: Background uptake is what lies above this percentile of all voxels outside lesions (official simulation).
UPTAKE_PERCENTILE = 99.75


def simulate_clicks(
    truth: np.ndarray, suv: np.ndarray, *, budget: int = 10, seed: int = 42, offset_vox: int = 0
) -> Clicks:
    """Make clicks from the ground truth by the official protocol of autoPET IV.

    truth : (x, y, z), lesion where not 0;  suv : float (x, y, z), g/ml, finite.

    Tumour: of the 26-connected components of `truth` at most `budget` are drawn without replacement.
    Each gets one click at the voxel that is farthest from its border (Euclidean distance in voxels, the
    first such voxel in x, y, z order); then, cycling over the drawn components, random border voxels
    (smallest distance inside) until there are `budget`. Background: the same with the components of
    what lies above the 99.75th percentile of all voxels outside lesions (numpy's linear percentile),
    lesions left out. No component, no clicks. With `offset_vox` each click moves by 0..offset_vox
    along each axis and stays where it was if it would leave its mask.

    Components count in the order of their first voxel, x running fastest; random numbers are those of
    numpy's frozen `RandomState`, drawn as in the official script, so a seed gives the same clicks on
    every machine (and, but for the official script's border rule for background clicks, its clicks).
    The distance transform is taken in the bounding box plus one voxel, which changes nothing.
    """
    if truth.shape != suv.shape:
        raise InputError(
            f"truth is {size_text(truth.shape)} but SUV is {size_text(suv.shape)}", mend="give both on one grid"
        )
    random = np.random.RandomState(seed)
    lesions = np.asfortranarray(truth != 0)
    tumor = _click_components(lesions, budget, random, offset_vox)
    uptake = _high_uptake(suv, lesions)
    return Clicks(tumor, _click_components(uptake, budget, random, offset_vox))


def _click_components(mask: np.ndarray, budget: int, random: np.random.RandomState, offset_vox: int) -> list:
    """Clicks on the components of `mask`: first centres, then border voxels."""
    import cc3d

    box = _box(mask)
    if box is None or budget <= 0:
        return []
    low = np.array([part.start for part in box])
    # as numbers: cc3d's way with bool arrays fails on volumes that are one voxel thick
    labels, count = cc3d.connected_components(
        np.asfortranarray(mask[box]).view(np.uint8), connectivity=26, return_N=True
    )
    drawn = random.choice(np.arange(1, count + 1), size=min(budget, count), replace=False)
    boxes = cc3d.statistics(labels, no_slice_conversion=True)["bounding_boxes"]

    def moved(voxel: np.ndarray) -> list[int]:
        if offset_vox > 0:
            candidate = voxel + random.randint(0, offset_vox + 1, size=3)
            if is_inside(candidate.tolist(), mask.shape) and mask[tuple(candidate)]:
                voxel = candidate
        return voxel.tolist()

    clicks, borders = [], []
    for label in drawn.tolist():
        first, last = boxes[label].reshape(3, 2).T.astype(np.int64)
        first, last = np.maximum(first - 1, 0), np.minimum(last + 2, labels.shape)
        component = labels[tuple(map(slice, first, last))] == label
        distance = _distance(component)
        centre = np.unravel_index(np.argmax(distance), distance.shape)
        clicks.append(moved(centre + first + low))
        if len(drawn) < budget:
            smallest = distance[component].min()
            borders.append(np.argwhere(component & (distance == smallest)) + first + low)
    while len(clicks) < budget:
        for border in borders[: budget - len(clicks)]:
            clicks.append(moved(border[random.choice(len(border))]))
    return clicks


def _box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Bounding box of `mask` plus one voxel, cut at the grid; None if the mask is empty."""
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if hit.size == 0:
            return None
        box.append(slice(max(int(hit[0]) - 1, 0), int(hit[-1]) + 2))
    return tuple(box)


def _distance(component: np.ndarray) -> np.ndarray:
    """Euclidean distance in voxels of each voxel to the nearest one outside the component.

    What lies beyond the grid is not outside, unless the component fills the whole grid.
    """
    from scipy.ndimage import distance_transform_edt

    if component.all():
        return distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1, 1:-1]
    return distance_transform_edt(component)


def _high_uptake(suv: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Bool (x, y, z) in Fortran order: SUV above UPTAKE_PERCENTILE of the voxels outside `lesions`, and not lesion."""
    limit = _uptake_limit(suv, lesions)
    uptake = np.empty(suv.shape, bool, order="F")
    np.greater(suv, limit, out=uptake)
    return np.greater(uptake, lesions, out=uptake)


def _uptake_limit(suv: np.ndarray, lesions: np.ndarray, percentile: float = UPTAKE_PERCENTILE) -> float:
    """A number that separates the voxels outside `lesions` as their `percentile` (numpy's linear one) does.

    The percentile lies between two neighbours in the sorted list of values; "above it" and "above the
    lower neighbour" are the same voxels, and only the neighbours need to be found: a sample guesses a
    value a little below them, and the few voxels above the guess are sorted.
    """
    count = suv.size - int(np.count_nonzero(lesions))
    if count == 0:
        return math.inf
    position = (count - 1) * (percentile / 100)
    below = min(math.floor(position), count - 1)
    above = count - 1 - below  # values after the lower neighbour
    for share in (2.0 * (1 - percentile / 100), 0.1, 1.0):
        guess = _guess(suv, lesions, share)
        greater = np.sort(np.concatenate([part[keep & (part > guess)] for part, keep in _outside(suv, lesions)]))
        if greater.size > above:
            lower, upper = greater[-above - 1], greater[-max(above, 1)]
            break
        equal = sum(int(np.count_nonzero(keep & (part == guess))) for part, keep in _outside(suv, lesions))
        if greater.size + equal > above:
            lower = guess
            upper = greater[-above] if 0 < above <= greater.size else guess
            break
    else:
        return math.inf  # only reached if values are not finite
    lower, upper, part = float(lower), float(upper), position - below
    limit = lower + (upper - lower) * part if part < 0.5 else upper - (upper - lower) * (1 - part)
    return upper if limit >= upper else lower


def _guess(suv: np.ndarray, lesions: np.ndarray, share: float):
    """A value that about `share` of the voxels outside `lesions` exceed, from a sample of them."""
    if share >= 1:
        return min(part[keep].min() for part, keep in _outside(suv, lesions) if keep.any())
    step = max(1, round((suv.size / 300_000) ** (1 / 3)))
    few = (slice(None, None, step),) * 3
    sample = np.sort(suv[few][~lesions[few]])
    return sample[int((1 - share) * (sample.size - 1))] if sample.size else _guess(suv, lesions, 1.0)


def _outside(suv: np.ndarray, lesions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slabs of `suv` in the order of memory, each with a mask of its voxels outside `lesions`."""
    order = np.argsort([-abs(stride) for stride in suv.strides], kind="stable")
    suv, lesions = suv.transpose(order), lesions.transpose(order)
    thick = max(1, len(suv) * 2_000_000 // suv.size)
    for start in range(0, len(suv), thick):
        yield suv[start : start + thick], ~lesions[start : start + thick]
