"""Spline resampling of volumes by one matrix per axis, with the values of nnU-Net's resampling.

nnU-Net resizes with scikit-image, a spline of order 3 (images) or 1 (logits, labels) on voxel centres with
replicated edges. That is linear and separable, so one matrix per axis does it, and any box of the
result can be had alone. Measured against nnU-Net: differences below 1e-5 of the image's range, the same labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import ndimage, sparse

#: Weights below this are rounding noise (a cubic spline reaches far, but fades by 0.27 a voxel).
NEGLIGIBLE = 1e-8
#: Voxels between labels that are looked at together.
CHUNK = 2**18


def spline_matrix(length: int, new_length: int) -> np.ndarray:
    """Cubic spline matrix of scikit-image's `resize(mode="edge", anti_aliasing=False)`, (new_length, length)."""
    if length == new_length:
        return np.eye(length)
    zoom = (new_length / length, 1)
    return ndimage.zoom(np.eye(length), zoom, order=3, mode="nearest", grid_mode=True)


def linear_rows(box: slice, length: int, new_length: int, *, nearest: bool = False) -> tuple[slice, np.ndarray]:
    """Linear interpolation of the values in `box` of an axis of `length` points at `new_length` points.

    Both grids span the same extent (voxel centres at (i + 0.5) / length). Returns the slice of new points that
    lie in the box, and float32 (points, box) weights; each row holds one or two that sum to 1.
    """
    points = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    inside = np.flatnonzero((points >= box.start - 0.5) & (points < box.stop - 0.5))
    matrix = np.zeros((len(inside), box.stop - box.start), dtype=np.float32)
    if not len(inside):
        return slice(0, 0), matrix
    points = np.clip(points[inside] - box.start, 0, matrix.shape[1] - 1)
    if nearest:
        points = np.floor(points + 0.5)
    low = np.floor(points).astype(int)
    rows = np.arange(len(low))
    np.add.at(matrix, (rows, low), (1 - (points - low)).astype(np.float32))
    np.add.at(matrix, (rows, np.minimum(low + 1, matrix.shape[1] - 1)), (points - low).astype(np.float32))
    return slice(int(inside[0]), int(inside[-1]) + 1), matrix


def source_span(matrix: np.ndarray) -> slice:
    """From the first to the last column of `matrix` with a weight above NEGLIGIBLE."""
    used = np.flatnonzero((np.abs(matrix) > NEGLIGIBLE).any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1)


def filled_span(volume: np.ndarray, axis: int) -> slice:
    """From the first to the last plane along `axis` that is not all zero; empty if there is none."""
    used = np.flatnonzero(volume.any(axis=tuple(other for other in range(volume.ndim) if other != axis)))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def resize(volume: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Apply one matrix (new, old) to each axis of a float32 volume; returns a new float32 volume.

    Zeros around what is in the volume (a heatmap of few clicks) cost nothing.
    """
    matrices = [matrix.astype(np.float32) for matrix in matrices]
    spans = tuple(filled_span(volume, axis) for axis in range(3))
    if any(span.stop == 0 for span in spans):
        return np.zeros([len(matrix) for matrix in matrices], dtype=np.float32)
    volume = volume[spans]
    first, second, third = (matrix[:, span] for matrix, span in zip(matrices, spans, strict=True))
    volume = second @ (volume @ third.T)
    flat = first @ volume.reshape(len(volume), -1)
    return flat.reshape(len(first), *volume.shape[1:])


@lru_cache(maxsize=32)
def local_spline_matrix(length: int, new_length: int) -> sparse.csr_array:
    """`spline_matrix` without the weights that are NEGLIGIBLE, float32: some 15 points to each side are left."""
    matrix = spline_matrix(length, new_length).astype(np.float32)
    matrix[np.abs(matrix) <= NEGLIGIBLE] = 0
    return sparse.csr_array(matrix)


def resize_locally(volume: np.ndarray, matrices: Sequence[sparse.csr_array]) -> np.ndarray:
    """`resize` whose result at a point depends on nothing but the volume near it, every bit of it.

    matrices : of `local_spline_matrix`, or rows of them.  Each sum is made in the order of the old points, whatever
    else there is in the volume: a click changes the result only around it. Zeros around that cost nothing.
    """
    result = np.zeros([matrix.shape[0] for matrix in matrices], dtype=np.float32)
    spans = [filled_span(volume, axis) for axis in range(3)]
    if any(span.stop == 0 for span in spans):
        return result
    volume, where = volume[tuple(spans)], [slice(0)] * 3
    for axis in (2, 1, 0):
        matrix = matrices[axis][:, spans[axis]]
        where[axis] = _span(np.flatnonzero(np.diff(matrix.indptr)))
        lines = np.moveaxis(volume, axis, 0)
        resized = matrix[where[axis]] @ np.ascontiguousarray(lines).reshape(len(lines), -1)
        volume = np.moveaxis(resized.reshape(len(resized), *lines.shape[1:]), 0, axis)
    result[tuple(where)] = volume
    return result


def used_span(matrix: sparse.csr_array, rows: slice) -> slice:
    """From the first to the last old point that has a weight in some `rows`; empty if there is none."""
    return _span(np.unique(matrix[rows].indices))


def reached_span(matrix: sparse.csr_array, columns: slice) -> slice:
    """From the first to the last new point in which an old point of `columns` has a weight; empty if there is none."""
    return _span(np.flatnonzero(np.diff(matrix[:, columns].indptr)))


def _span(indices: np.ndarray) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)


def resize_image(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A float32 volume at another `shape` by cubic splines, clipped to its range: nnU-Net's resampling of images."""
    resized = resize(volume, [spline_matrix(old, new) for old, new in zip(volume.shape, shape, strict=True)])
    return np.clip(resized, volume.min(), volume.max(), out=resized)


def resize_labels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An integer label map at another `shape`: nnU-Net's resampling of segmentations (order 1), label for label.

    The label of a voxel is the one with most weight among the eight around it, interpolated linearly; of labels with
    equal weight the nearest voxel's, if it is one of them, else the smallest (batchgenerators' `resize_segmentation`).
    Most voxels lie within one label and need no weights.
    """
    nearest = [_nearest_indices(old, new) for old, new in zip(labels.shape, shape, strict=True)]
    resized = labels[np.ix_(*nearest)]
    if labels.size == 0 or labels.min() == labels.max():
        return resized
    corners, weights = zip(
        *(_linear_corners(old, new) for old, new in zip(labels.shape, shape, strict=True)), strict=True
    )
    between = np.flatnonzero(_mixed_cells(labels)[np.ix_(*(corner[0] for corner in corners))])
    for first in range(0, len(between), CHUNK):
        points = np.unravel_index(between[first : first + CHUNK], resized.shape)
        around, shares = [], []
        for ends in product((0, 1), repeat=3):
            axes = list(zip(corners, weights, ends, points, strict=True))
            around.append(labels[tuple(corner[end, at] for corner, _, end, at in axes)])
            z, y, x = (weight[end, at] for _, weight, end, at in axes)
            shares.append(z * y * x)
        resized[points] = _heaviest(around, shares, resized[points])
    return resized


def _nearest_indices(length: int, new_length: int) -> np.ndarray:
    """For each new point of an axis the old one that scikit-image's `resize(order=0)` takes."""
    if length == new_length:
        return np.arange(length)
    return ndimage.zoom(np.arange(length), new_length / length, order=0, mode="nearest", grid_mode=True)


def _linear_corners(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new point of an axis the old ones beside it, int (2, new_length), and their weights, float64, as SciPy
    rounds them: beyond the ends of the axis both are its last point, and share its weight.
    """
    places = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    low = np.floor(places)
    weight = 1.0 - (places - low)
    corners = np.clip(np.stack([low, low + 1]).astype(int), 0, length - 1)
    return corners, np.stack([weight, 1.0 - weight])


def _mixed_cells(labels: np.ndarray) -> np.ndarray:
    """True at each voxel (bool, same shape) that, with its next neighbours along all axes, holds several labels."""
    mixed = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        ahead, behind = (tuple(part if one == axis else slice(None) for one in range(3))
                         for part in (slice(1, None), slice(None, -1)))  # fmt: skip
        mixed[behind] |= labels[ahead] != labels[behind]
    for axis in range(3):  # an edge between labels belongs to the cells below it along the other axes, too
        ahead, behind = (tuple(part if one == axis else slice(None) for one in range(3))
                         for part in (slice(1, None), slice(None, -1)))  # fmt: skip
        mixed[behind] |= mixed[ahead]
    return mixed


def _heaviest(labels: Sequence[np.ndarray], weights: Sequence[np.ndarray], nearest: np.ndarray) -> np.ndarray:
    """Per point the label with the largest sum of `weights`, summed in their order as SciPy does; ties as above."""

    def score_of(label):
        return sum(weight * (one == label) for one, weight in zip(labels, weights, strict=True))

    scores = [score_of(label) for label in labels]
    best = np.maximum.reduce(scores)
    largest = np.iinfo(labels[0].dtype).max
    winner = np.minimum.reduce(
        [np.where(score == best, label, largest) for label, score in zip(labels, scores, strict=True)]
    )
    return np.where(score_of(nearest) == best, nearest, winner)
