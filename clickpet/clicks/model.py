"""Clicks of one study: voxels that a reader marked as tumour or as background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("tumor", "background")


@dataclass(frozen=True, eq=False)
class Clicks:
    """Tumour and background clicks of one study, in the order in which they were made.

    tumor : int64 (n, 3);  background : int64 (m, 3); voxel indices x, y, z. A voxel may occur twice.
    """

    tumor: np.ndarray
    background: np.ndarray

    def __post_init__(self):
        for kind in KINDS:
            points = np.asarray(getattr(self, kind), dtype=np.int64).reshape(-1, 3)
            object.__setattr__(self, kind, points)

    @classmethod
    def empty(cls) -> Clicks:
        """No clicks at all."""
        return cls(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64))

    def first(self, k: int) -> Clicks:
        """The first `k` tumour and the first `k` background clicks: step k of the interactive evaluation."""
        if k < 0:
            raise ValueError(f"a number of clicks cannot be negative: {k}")
        return Clicks(self.tumor[:k], self.background[:k])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clicks):
            return NotImplemented
        return np.array_equal(self.tumor, other.tumor) and np.array_equal(self.background, other.background)

    __hash__ = None
