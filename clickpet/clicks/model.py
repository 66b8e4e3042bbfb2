"""Clicks and scribbles of one study: voxels that a reader marked as tumour or as background."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

KINDS = ("tumor", "background")


@dataclass(frozen=True, eq=False)
class Interaction:
    """One thing that a reader did: a click (one point) or a scribble (several points).

    kind : "tumor" or "background";  points : int64 (n, 3), n >= 1; voxel indices x, y, z.
    """

    kind: str
    points: np.ndarray

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"an interaction is of kind tumor or background, not {self.kind!r}")
        object.__setattr__(self, "points", np.asarray(self.points, dtype=np.int64).reshape(-1, 3))
        if not len(self.points):
            raise ValueError("an interaction has at least one point")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interaction):
            return NotImplemented
        return self.kind == other.kind and np.array_equal(self.points, other.points)

    __hash__ = None


@dataclass(frozen=True, eq=False)
class Clicks:
    """Tumour and background clicks of one study, in the order in which they were made.

    tumor : int64 (n, 3);  background : int64 (m, 3); voxel indices x, y, z. A voxel may occur twice.
    groups : (kind, number of points) of each interaction in the order made; together they take all points, those of a
    kind in their order. None: every point is a click of its own, tumour clicks before background clicks.

    Two are equal if the interactions of each kind are; which kind came first is not compared.
    """

    tumor: np.ndarray
    background: np.ndarray
    groups: tuple[tuple[str, int], ...] | None = None

    def __post_init__(self):
        for kind in KINDS:
            points = np.asarray(getattr(self, kind), dtype=np.int64).reshape(-1, 3)
            object.__setattr__(self, kind, points)
        if self.groups is None:
            groups = tuple((kind, 1) for kind in KINDS for _ in getattr(self, kind))
        else:
            groups = tuple((kind, int(count)) for kind, count in self.groups)
        object.__setattr__(self, "groups", groups)
        if any(kind not in KINDS or count < 1 for kind, count in groups):
            raise ValueError(f"each group is (tumor or background, number of points), not {groups}")
        for kind in KINDS:
            held, there = sum(self.sizes(kind)), len(getattr(self, kind))
            if held != there:
                raise ValueError(f"the groups hold {held} {kind} points of {there}")

    @classmethod
    def empty(cls) -> Clicks:
        """No clicks at all."""
        return cls(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64))

    @classmethod
    def from_interactions(cls, interactions: Iterable[Interaction]) -> Clicks:
        """The clicks and scribbles `interactions`, in the order in which they were made."""
        interactions = list(interactions)
        points = {
            kind: np.concatenate(
                [np.zeros((0, 3), np.int64), *(one.points for one in interactions if one.kind == kind)]
            )
            for kind in KINDS
        }
        return cls(points["tumor"], points["background"], tuple((one.kind, len(one.points)) for one in interactions))

    def interactions(self) -> list[Interaction]:
        """Every click and scribble, in the order in which they were made."""
        points = {kind: iter(self.of_kind(kind)) for kind in KINDS}
        return [Interaction(kind, next(points[kind])) for kind, _ in self.groups]

    def sizes(self, kind: str) -> list[int]:
        """Number of points of each interaction of one kind, in the order made."""
        return [count for of, count in self.groups if of == kind]

    def of_kind(self, kind: str) -> list[np.ndarray]:
        """Points, int64 (n, 3), of each interaction of one kind, in the order made."""
        ends = np.cumsum(self.sizes(kind))
        return np.split(getattr(self, kind), ends[:-1]) if len(ends) else []

    @property
    def most(self) -> int:
        """Number of tumour or of background interactions, whichever is larger: `first(most)` is everything."""
        return max(len(self.sizes(kind)) for kind in KINDS)

    def first(self, k: int) -> Clicks:
        """The first `k` tumour and the first `k` background interactions: step k of the interactive evaluation."""
        if k < 0:
            raise ValueError(f"a number of clicks cannot be negative: {k}")
        taken, groups = dict.fromkeys(KINDS, 0), []
        for kind, count in self.groups:
            taken[kind] += 1
            if taken[kind] <= k:
                groups.append((kind, count))
        ends = {kind: sum(self.sizes(kind)[:k]) for kind in KINDS}
        return Clicks(self.tumor[: ends["tumor"]], self.background[: ends["background"]], tuple(groups))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clicks):
            return NotImplemented
        return all(
            self.sizes(kind) == other.sizes(kind) and np.array_equal(getattr(self, kind), getattr(other, kind))
            for kind in KINDS
        )

    __hash__ = None
