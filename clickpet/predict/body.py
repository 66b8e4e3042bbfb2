"""Bounding box of the body, to which the sliding window is confined."""

from __future__ import annotations

import cc3d
import numpy as np
from scipy import ndimage

from clickpet.images import spacing_mm
from clickpet.nnunet.nonzero_box import Box

#: CT above this is patient (or table); air and the padding outside the field of view are below.
BODY_MIN_HU = -500.0
#: Every voxel with more uptake than this is inside the box, whatever CT says (truncated arms, shifted CT).
BODY_MIN_SUV = 1.0
#: Work on a grid about this coarse: fine enough for the 20 mm of margin.
COARSE_MM = 8.0
MARGIN_MM = 20.0
#: Parts of the body that do not touch (two legs, a raised arm) count down to this share of the largest one.
MIN_SHARE = 0.05


def body_box(*, ct: np.ndarray, suv: np.ndarray, affine: np.ndarray) -> Box:
    """Smallest box (x, y, z) around the body plus 20 mm, and around every voxel with an SUV above 1.

    ct : HU (x, y, z);  suv : g/ml, same grid;  affine : (4, 4), voxel to RAS mm.

    The body is what is above -500 HU on a grid of about 8 mm after a morphological opening that removes thin things
    (table, blankets): its largest component and those of at least a twentieth of it. Where CT shows no body (an empty
    or uncalibrated CT), the box is the whole grid.
    """
    edges_mm = spacing_mm(affine)
    step = tuple(max(1, round(COARSE_MM / edge)) for edge in edges_mm)
    solid = ct[tuple(slice(half // 2, None, half) for half in step)] > BODY_MIN_HU
    body = _large_parts(ndimage.binary_opening(solid, ndimage.generate_binary_structure(3, 1)))
    if not body.any():
        body = _large_parts(solid)
    if not body.any():
        return tuple(slice(0, length) for length in ct.shape)
    box = []
    for axis, (length, stride, edge) in enumerate(zip(ct.shape, step, edges_mm, strict=True)):
        margin = int(np.ceil(MARGIN_MM / edge)) + stride
        used = np.flatnonzero(body.any(axis=tuple(other for other in range(3) if other != axis))) * stride + stride // 2
        box.append(slice(max(0, int(used[0]) - margin), min(length, int(used[-1]) + margin + 1)))
    return _grown_to(tuple(box), suv)


def _large_parts(mask: np.ndarray) -> np.ndarray:
    """The largest component of `mask` (bool) and those of at least MIN_SHARE of its size, 6-connected."""
    labels = cc3d.connected_components(mask, connectivity=6)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= MIN_SHARE * sizes.max())[labels] & mask


def _grown_to(box: Box, suv: np.ndarray) -> Box:
    """`box` grown until no voxel outside it is above BODY_MIN_SUV; reads only what is outside."""
    spans = [[part.start, part.stop] for part in box]
    for axis, length in enumerate(suv.shape):
        planes = np.moveaxis(suv, axis, 0)
        start, stop = spans[axis]
        spans[axis][0] = next((index for index in range(start) if planes[index].max() > BODY_MIN_SUV), start)
        spans[axis][1] = next(
            (index + 1 for index in range(length - 1, stop - 1, -1) if planes[index].max() > BODY_MIN_SUV), stop
        )
    return tuple(slice(*span) for span in spans)
