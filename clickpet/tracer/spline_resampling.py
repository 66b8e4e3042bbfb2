"""Cubic B-spline resampling along one axis as a matrix product, with the values of SimpleITK's sitkBSpline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import spline_filter1d

#: Bytes of a slab that is resampled at a time, and samples of a block of its weights.
_SLAB_BYTES = 24_000_000
_BLOCK_ROWS = 48
#: Spline weights below this are left out (they are below the precision of float32).
_SMALLEST_WEIGHT = 1e-8


def spline_weights(length: int, spacing_mm: float, spacing_out_mm: float) -> np.ndarray:
    """Matrix (samples, voxels), float32: cubic B-spline interpolation, mirrored at the first and last voxel.

    The product of the sampled B-splines and the inverse of B-splines at the voxels.
    """
    positions, inside = _sample_positions(length, spacing_mm, spacing_out_mm)
    if length == 1:
        return inside[:, None].astype(np.float32)
    coefficients = spline_filter1d(np.eye(length), order=3, axis=0, mode="mirror")
    basis = np.zeros((len(positions), length))
    first = np.floor(positions).astype(int) - 1
    for tap in range(4):
        index = first + tap
        distance = np.abs(positions - index)
        weight = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6)
        period = 2 * (length - 1)
        index = np.abs((index + length - 1) % period - (length - 1))
        np.add.at(basis, (np.arange(len(positions)), index), weight * inside)
    weights = basis @ coefficients
    weights[np.abs(weights) < _SMALLEST_WEIGHT] = 0
    return weights.astype(np.float32)


def _sample_positions(length: int, spacing_mm: float, spacing_out_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples in voxels, and which of them lie inside the volume."""
    positions = np.arange(max(1, int(np.round(length * (spacing_mm / spacing_out_mm))))) * (spacing_out_mm / spacing_mm)
    nearest = np.rint(positions)
    positions = np.where(np.abs(positions - nearest) < 1e-6, nearest, positions)
    return positions, positions < length - 0.5


def row_blocks(weights: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Cut a matrix (samples, voxels) into (samples, voxels that they need, the matrix of both), as slices."""
    for start in range(0, len(weights), _BLOCK_ROWS):
        block = weights[start : start + _BLOCK_ROWS]
        used = np.flatnonzero(block.any(axis=0))
        needed = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        yield slice(start, start + len(block)), needed, np.ascontiguousarray(block[:, needed])


def resampled_slabs(volume: np.ndarray, to_rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Give (rows, float32 (rows, depth, columns)): `volume` (z, depth, column) resampled along z, slab by slab."""
    straight = np.count_nonzero(to_rows, axis=1).max() == 1 and np.all(to_rows.max(axis=1) == 1)
    thick = max(1, _SLAB_BYTES // (volume[0].size * 4))
    for start in range(0, len(to_rows), thick):
        weights = to_rows[start : start + thick]
        rows = slice(start, start + len(weights))
        if straight:  # the samples are voxels
            yield rows, np.ascontiguousarray(volume[weights.argmax(axis=1)], np.float32)
            continue
        used = np.flatnonzero(weights.any(axis=0))
        needed = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        slab = np.ascontiguousarray(volume[needed], np.float32)
        resampled = weights[:, needed] @ slab.reshape(len(slab), -1)
        yield rows, resampled.reshape(len(weights), *slab.shape[1:])
