"""Which clicks a voxel is nearest to."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

#: Distances that differ by less are equal, whatever their last digits, mm.
_EQUAL_MM = 1e-6


def is_nearer(voxels: np.ndarray, these: np.ndarray, others: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Where `voxels` are nearer to one of `these` clicks than to all `others`: bool (n,).

    voxels (n, 3), these (m, 3), m > 0, others (k, 3) : int, x, y, z;  edges : (3,), of a voxel, mm.
    As near to both: False.
    """
    if not len(others):
        return np.ones(len(voxels), bool)
    own_mm, other_mm = (KDTree(points * edges).query(voxels * edges)[0] for points in (these, others))
    return own_mm < other_mm - _EQUAL_MM
