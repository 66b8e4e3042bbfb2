"""Bounding box of what is not zero: the part of a scan that nnU-Net's preprocessing keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: A part of a volume, as slices along its three axes.
Box = tuple[slice, slice, slice]


def nonzero_box(arrays: Sequence[np.ndarray]) -> Box:
    """Box (x, y, z) of the voxels that are not zero in at least one of `arrays`; the whole grid if there are none."""
    spans = []
    for axis, length in enumerate(arrays[0].shape):
        planes = [np.moveaxis(array, axis, 0) for array in arrays]
        used = (index for index in range(length) if any(plane[index].any() for plane in planes))
        start = next(used, None)
        if start is None:
            return tuple(slice(0, extent) for extent in arrays[0].shape)
        used = (index for index in range(length - 1, -1, -1) if any(plane[index].any() for plane in planes))
        spans.append(slice(start, next(used) + 1))
    return tuple(spans)
