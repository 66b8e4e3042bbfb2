"""Bounding box of what is not zero: the part of a scan that nnU-Net's preprocessing keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: A part of a volume, as slices along its three axes.
Box = tuple[slice, slice, slice]


def nonzero_box(arrays: Sequence[np.ndarray]) -> Box:
    """Box (x, y, z) of the voxels that are not zero in at least one of `arrays`; the whole grid if there are none."""
    spans = [slice(0, length) for length in arrays[0].shape]
    # from the slowest axis in memory on, each in the part that the ones before have left
    for axis in sorted(range(arrays[0].ndim), key=lambda axis: -abs(arrays[0].strides[axis])):
        planes = [np.moveaxis(array[tuple(spans)], axis, 0) for array in arrays]
        indices = range(spans[axis].stop)
        start = next((index for index in indices if any(plane[index].any() for plane in planes)), None)
        if start is None:
            return tuple(spans)
        last = next(index for index in reversed(indices) if any(plane[index].any() for plane in planes))
        spans[axis] = slice(start, last + 1)
    return tuple(spans)


def intersection(box_a: Box | None, box_b: Box | None) -> Box | None:
    """The part that two boxes share; None if there is none, or one of them is None."""
    if box_a is None or box_b is None:
        return None
    box = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box_a, box_b, strict=True))
    return box if all(part.start < part.stop for part in box) else None


def union(box_a: Box, box_b: Box) -> Box:
    """The smallest box that holds both."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box_a, box_b, strict=True))
