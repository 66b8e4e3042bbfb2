"""Run-length encoding of masks, and connected components, volumes and overlaps from it.

A lesion mask of 52 million voxels holds some ten thousand foreground voxels. Labelling it as a
volume costs a label array of four times its size; its run lengths (start and length of every run: an
unbroken stretch of foreground along the axis that is contiguous in memory) hold the same in kilobytes,
and components, volumes and overlaps are sums over runs. The result is that of labelling the volume.
Pure noise is the worst case: a mask whose every other voxel is set needs about 55 times its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from clickpet.errors import InputError

#: Voxels looked at in one go: bounds the memory of every function here to some ten megabytes beside the runs.
CHUNK_VOXELS = 1 << 20
#: Lesions of the official evaluation are connected over faces and edges.
LESION_CONNECTIVITY = 18
#: Components that post-processing drops are connected over corners, too (the paper's).
DROPPED_CONNECTIVITY = 26
#: Neighbouring lines (slow, middle) that hold a later voxel, and by how much runs in them may miss each other.
_LINES = {
    6: ((0, 1, 0), (1, 0, 0)),
    18: ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, -1, 0)),
    26: ((0, 1, 1), (1, 0, 1), (1, 1, 1), (1, -1, 1)),
}


@dataclass(frozen=True, eq=False)
class RunLengthMask:
    """A mask (x, y, z) as its run lengths.

    shape  : (x, y, z) of the mask
    axes   : axes of the mask from slowest to fastest in memory; runs go along the last of them
    start  : int64 (runs,), flat C-order index of a run's first voxel in `mask.transpose(axes)`, ascending
    length : int64 (runs,), voxels of each run
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    start: np.ndarray
    length: np.ndarray

    @property
    def voxels(self) -> int:
        """Number of foreground voxels."""
        return int(self.length.sum())

    def line_shape(self) -> tuple[int, int, int]:
        """Shape of `mask.transpose(axes)`."""
        return tuple(self.shape[axis] for axis in self.axes)

    def select(self, chosen: np.ndarray) -> RunLengthMask:
        """The runs that the bool or index array `chosen` names."""
        return RunLengthMask(self.shape, self.axes, self.start[chosen], self.length[chosen])


def memory_axes(array: np.ndarray) -> tuple[int, int, int]:
    """Axes of a 3-D array from slowest to fastest in memory."""
    return tuple(sorted(range(3), key=lambda axis: (-abs(array.strides[axis]), axis)))


def encode_mask(mask: np.ndarray, axes: tuple[int, int, int] | None = None) -> RunLengthMask:
    """Run-length encoding of the non-zero voxels of `mask` (x, y, z), any dtype and memory order.

    `axes` forces the order of axes (to compare two masks); None takes that of the memory.
    Raises InputError if `mask` is not 3-D.
    """
    if mask.ndim != 3:
        raise InputError(f"a mask with {mask.ndim} axes cannot be used", mend="give one 3-D volume")
    axes = memory_axes(mask) if axes is None else axes
    lines = mask.transpose(axes)
    slow, middle, fast = lines.shape
    starts, lengths = [], []
    slab = max(1, CHUNK_VOXELS // max(1, middle * fast))
    for first in range(0, slow if mask.size else 0, slab):
        part = lines[first : first + slab].reshape(-1)
        found = np.flatnonzero(part if part.dtype == bool else part != 0)
        if not found.size:
            continue
        # A run ends where the next foreground voxel is not the next voxel, or lies on the next line.
        breaks = np.flatnonzero((np.diff(found) != 1) | (found[1:] % fast == 0))
        begin = found[np.concatenate(([0], breaks + 1))]
        end = found[np.concatenate((breaks, [found.size - 1]))]
        starts.append(begin + first * middle * fast)
        lengths.append(end - begin + 1)
    empty = np.zeros(0, np.int64)
    return RunLengthMask(tuple(mask.shape), axes, np.concatenate([empty, *starts]), np.concatenate([empty, *lengths]))


def bounding_box(*masks: RunLengthMask) -> tuple[slice, slice, slice]:
    """The smallest box of (x, y, z) that holds the foreground of all `masks`; without any, one voxel at the origin."""
    low, high = np.array(masks[0].shape), np.zeros(3, np.int64)
    for encoded in masks:
        if not encoded.start.size:
            continue
        first = np.unravel_index(encoded.start, encoded.line_shape())
        last = np.unravel_index(encoded.start + encoded.length - 1, encoded.line_shape())
        for axis, begin, end in zip(encoded.axes, first, last, strict=True):
            low[axis] = min(low[axis], begin.min())
            high[axis] = max(high[axis], end.max() + 1)
    low = np.minimum(low, 0) if not high.any() else low
    return tuple(slice(int(begin), int(max(end, begin + 1))) for begin, end in zip(low, high, strict=True))


def label_components(encoded: RunLengthMask, connectivity: int) -> tuple[np.ndarray, int]:
    """Connected component of every run, as labelling the mask with `connectivity` 6, 18 or 26 would give.

    Returns (component, count): int64 (runs,) from 0, numbered by the first voxel of each component
    in the C order of (x, y, z), so that the memory order of the mask does not matter.
    """
    count = encoded.start.size
    component = np.arange(count)
    if count == 0:
        return component, 0
    slow, middle, _ = np.unravel_index(encoded.start, encoded.line_shape())
    fast_edge, middle_edge = encoded.line_shape()[2] + 2, encoded.line_shape()[1] + 2
    # Positions on a grid with a margin of one voxel: a neighbouring line is then a constant step away.
    begin = ((slow + 1) * middle_edge + middle + 1) * fast_edge + encoded.start % encoded.line_shape()[2] + 1
    end = begin + encoded.length
    for d_slow, d_middle, reach in _LINES[connectivity]:
        step = (d_slow * middle_edge + d_middle) * fast_edge
        first = np.searchsorted(end, begin + (step - reach), side="right")
        number = np.searchsorted(begin, end + (step + reach), side="left") - first
        mine = np.repeat(np.arange(encoded.start.size), number)
        theirs = np.arange(mine.size) + np.repeat(first - (np.cumsum(number) - number), number)
        edges = sparse.coo_array(
            (np.ones(mine.size, np.int8), (component[mine], component[theirs])), shape=(count, count)
        )
        count, merged = csgraph.connected_components(edges, directed=False)
        component = merged[component].astype(np.int64)
    order = np.argsort(first_voxels(encoded, component, count))
    number = np.empty(count, np.int64)
    number[order] = np.arange(count)
    return number[component], count


def first_voxels(encoded: RunLengthMask, component: np.ndarray, count: int) -> np.ndarray:
    """Flat C-order (x, y, z) index of the first voxel of each component; int64 (count,)."""
    first = np.full(count, np.prod(encoded.shape), np.int64)
    place = [None] * 3
    for axis, position in zip(encoded.axes, np.unravel_index(encoded.start, encoded.line_shape()), strict=True):
        place[axis] = position
    np.minimum.at(first, component, np.ravel_multi_index(place, encoded.shape))
    return first


def sum_by_component(values: np.ndarray, component: np.ndarray, count: int) -> np.ndarray:
    """Sum of `values` (runs,) over the runs of each component: (count,), int64 or float64 as `values`."""
    sums = np.zeros(count, np.result_type(values, np.int64))
    np.add.at(sums, component, values)
    return sums


def overlap_voxels(encoded: RunLengthMask, other: RunLengthMask) -> np.ndarray:
    """Voxels of each run that are foreground in `other` too: int64 (runs,). Both need the same shape and axes."""
    if (encoded.shape, encoded.axes) != (other.shape, other.axes):
        raise ValueError("masks of different grids cannot be compared")
    if other.start.size == 0:
        return np.zeros(encoded.start.size, np.int64)
    before = np.concatenate(([0], np.cumsum(other.length)))

    def voxels_before(position):
        started = np.searchsorted(other.start, position, side="left")
        last = np.maximum(started - 1, 0)
        inside = np.minimum(position - other.start[last], other.length[last])
        return np.where(started > 0, before[last] + inside, 0)

    return voxels_before(encoded.start + encoded.length) - voxels_before(encoded.start)


def component_overlap(encoded: RunLengthMask, component: np.ndarray, count: int, other: RunLengthMask) -> np.ndarray:
    """Voxels of each component that are foreground in `other` (of the same shape and axes) too: int64 (count,)."""
    return sum_by_component(overlap_voxels(encoded, other), component, count)


def shared_voxels(
    encoded: RunLengthMask, component: np.ndarray, other: RunLengthMask, other_component: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels that each component of one mask shares with each of another of the same shape and axes.

    component, other_component : of every run, as `label_components` gives them. Returns (mine, theirs, voxels), int64
    (pairs,): every pair that shares a voxel once, ordered by mine and then theirs.
    """
    if (encoded.shape, encoded.axes) != (other.shape, other.axes):
        raise ValueError("masks of different grids cannot be compared")
    end, other_end = encoded.start + encoded.length, other.start + other.length
    first = np.searchsorted(other_end, encoded.start, side="right")
    number = np.searchsorted(other.start, end, side="left") - first
    mine = np.repeat(np.arange(encoded.start.size), number)
    theirs = np.arange(mine.size) + np.repeat(first - (np.cumsum(number) - number), number)
    voxels = np.minimum(end[mine], other_end[theirs]) - np.maximum(encoded.start[mine], other.start[theirs])
    pairs, place = np.unique(np.stack([component[mine], other_component[theirs]]), axis=1, return_inverse=True)
    return pairs[0], pairs[1], sum_by_component(voxels, place.reshape(-1), pairs.shape[1])


def components_of(encoded: RunLengthMask, component: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """The components that hold any of `voxels`, int (n, 3) in x, y, z; ascending, each once. Others lie in none."""
    flat = np.ravel_multi_index(tuple(voxels[:, list(encoded.axes)].T), encoded.line_shape())
    run = np.searchsorted(encoded.start, flat, side="right") - 1
    inside = (run >= 0) & (flat < (encoded.start + encoded.length)[run]) if encoded.start.size else run >= 0
    return np.unique(component[run[inside]])


def iterate_voxels(encoded: RunLengthMask) -> Iterator[tuple[slice, np.ndarray, tuple[np.ndarray, ...]]]:
    """Iterate over the foreground voxels, some CHUNK_VOXELS at a time.

    Yields (part, offset, index): the slice of runs, where each of them begins among the voxels of
    this part (for `ufunc.reduceat`), and the voxels' (x, y, z) index arrays.
    """
    ends = np.cumsum(encoded.length)
    low = 0
    while low < encoded.start.size:
        done = ends[low] - encoded.length[low]
        high = max(low + 1, int(np.searchsorted(ends, done + CHUNK_VOXELS, side="right")))
        length = encoded.length[low:high]
        offset = np.cumsum(length) - length
        flat = np.arange(int(length.sum())) + np.repeat(encoded.start[low:high] - offset, length)
        index = [None] * 3
        for axis, position in zip(encoded.axes, np.unravel_index(flat, encoded.line_shape()), strict=True):
            index[axis] = position
        yield slice(low, high), offset, tuple(index)
        low = high


def component_max(encoded: RunLengthMask, component: np.ndarray, count: int, values: np.ndarray) -> np.ndarray:
    """Largest of `values` (x, y, z) in each component; (count,), dtype of `values`. NaN if it holds one."""
    highest = np.empty(encoded.start.size, values.dtype)
    for part, offset, index in iterate_voxels(encoded):
        highest[part] = np.maximum.reduceat(values[index], offset)
    order = np.argsort(component, kind="stable")
    begin = np.searchsorted(component[order], np.arange(count))
    return np.maximum.reduceat(highest[order], begin) if count else highest


def component_sum(encoded: RunLengthMask, component: np.ndarray, count: int, values: np.ndarray) -> np.ndarray:
    """Sum of `values` (x, y, z) over each component; float64 (count,)."""
    sums = np.empty(encoded.start.size, np.float64)
    for part, offset, index in iterate_voxels(encoded):
        sums[part] = np.add.reduceat(values[index].astype(np.float64), offset)
    return sum_by_component(sums, component, count)


def mean_of_components(mask: np.ndarray, values: np.ndarray, connectivity: int) -> np.ndarray:
    """Mean of `values` (x, y, z) over each component of `mask` (x, y, z): float32 (components,).

    Components come in the order of their first voxel (C order of x, y, z), whatever the memory order.
    """
    encoded = encode_mask(mask)
    component, count = label_components(encoded, connectivity)
    voxels = sum_by_component(encoded.length, component, count)
    return (component_sum(encoded, component, count, values) / voxels).astype(np.float32)
