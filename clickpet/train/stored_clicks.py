"""The clicks of a training case on the network's grid, and their heatmap in the part of it that a patch needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.geometry import Turn, spacing_mm

#: Where the properties of a preprocessed case keep its clicks.
RECORD = "clicks"
#: A part of the network's grid, as slices along its three axes.
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class StoredClicks:
    """Clicks of one case, and how they are drawn, on the network's grid.

    clicks : voxels of the network's grid along the axes of its arrays;  options : sigmas in voxels of that grid, along
    the same axes;  spacing_mm : of it;  shape : of the case.
    """

    clicks: Clicks
    options: HeatmapOptions
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    @property
    def most(self) -> int:
        """The largest number of clicks that can be asked for; 1 for a case without any."""
        return max(self.clicks.most, 1)

    @property
    def affine(self) -> np.ndarray:
        """An affine with the spacing, for functions that ask for the size of a voxel."""
        return np.diag([*self.spacing_mm, 1.0])

    def reach_vox(self, kind: str) -> list[int]:
        """How many voxels along each axis an interaction of `kind` reaches in the heatmap."""
        options = self.options
        if options.encoding == "distance":
            return [math.ceil(options.distance_mm / edge) for edge in self.spacing_mm]
        sigmas = options.sigma_vox(options.sigma_tumor if kind == "tumor" else options.sigma_background, None)
        return [int(options.truncate * sigma + 0.5) for sigma in sigmas]  # the radius of scipy's gaussian_filter

    def heatmap(self, read_suv: Callable[[Box], np.ndarray], box: Box, k: int) -> np.ndarray:
        """The heatmap of the first `k` tumour and first `k` background clicks in `box`: float32 of the box's shape.

        read_suv : gives the SUV in a box of the case's grid. The values are those that `draw_heatmap` gives on the
        whole grid; only clicks that reach the box are drawn, and SUV is read no farther than they reach.
        """
        shown = self.clicks.first(k)
        # the released maps are divided by their largest value anywhere
        whole = self.options.encoding == "gaussian" and self.options.compat == "released"
        reaching = (
            (one.kind, self._reaching(one.points, one.kind, None if whole else box)) for one in shown.interactions()
        )
        near = [Interaction(kind, points) for kind, points in reaching if len(points)]
        if not near:
            return np.zeros([part.stop - part.start for part in box], np.float32)
        region = self._region(near, box)
        start = np.array([part.start for part in region])
        local = Clicks.from_interactions(Interaction(one.kind, one.points - start) for one in near)
        heatmap = draw_heatmap(read_suv(region), local, self.options, affine=self.affine)
        return heatmap[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, region, strict=True))]

    def _reaching(self, points: np.ndarray, kind: str, box: Box | None) -> np.ndarray:
        """Those of `points` that reach the box (None: all)."""
        if box is None:
            return points
        reach = np.array(self.reach_vox(kind))
        first, stop = (np.array([getattr(part, end) for part in box]) for end in ("start", "stop"))
        return points[((points + reach >= first) & (points - reach < stop)).all(axis=1)]

    def _region(self, near: Sequence[Interaction], box: Box) -> Box:
        """The box and all that the interactions reach, within the grid."""
        first, stop = (np.array([getattr(part, end) for part in box]) for end in ("start", "stop"))
        for one in near:
            reach = np.array(self.reach_vox(one.kind))
            first = np.minimum(first, one.points.min(0) - reach)
            stop = np.maximum(stop, one.points.max(0) + reach + 1)
        return tuple(
            slice(max(0, int(low)), min(length, int(high)))
            for low, high, length in zip(first, stop, self.shape, strict=True)
        )

    def as_record(self) -> dict:
        """Plain values, for the properties of a preprocessed case."""
        return {
            **{kind: getattr(self.clicks, kind).tolist() for kind in KINDS},
            "groups": [list(group) for group in self.clicks.groups],
            "options": {name: _plain(value) for name, value in asdict(self.options).items()},
            "spacing_mm": list(self.spacing_mm),
            "shape": list(self.shape),
        }

    @classmethod
    def from_record(cls, record: Mapping) -> StoredClicks:
        """The clicks of a record that `as_record` made."""
        return cls(
            Clicks(**{kind: np.array(record[kind], np.int64) for kind in KINDS}, groups=map(tuple, record["groups"])),
            HeatmapOptions.from_mapping(record["options"]),
            tuple(record["spacing_mm"]),
            tuple(record["shape"]),
        )


def store_clicks(
    clicks: Clicks,
    options: HeatmapOptions,
    *,
    shape: Sequence[int],
    affine: np.ndarray,
    new_shape: Sequence[int],
    properties: Mapping,
    transpose: Sequence[int],
) -> StoredClicks:
    """Clicks of a study as they lie on the network's grid.

    clicks, options : on the PET grid of `shape` (x, y, z) and `affine`;  new_shape : of the preprocessed case;
    properties : nnU-Net's of it;  transpose : the plans' transpose_forward.

    A click comes to lie at the voxel that holds its point, and sigmas keep their length in millimetres: at equal
    spacing nothing changes. At another spacing a click moves by at most half a voxel of the network's grid along each
    axis.
    """
    turn = Turn.between(affine)
    canonical = turn.affine(shape, affine)
    axes = [2 - axis for axis in transpose]  # axis of the network -> canonical axis (x, y, z)
    first = np.array([low for low, _ in properties["bbox_used_for_cropping"]])
    old_shape = np.array(properties["shape_after_cropping_and_before_resampling"])
    scale = np.array(new_shape) / old_shape

    def moved(points: np.ndarray) -> np.ndarray:
        turned = _turned(points, turn, shape)[:, axes] - first
        return np.clip(np.floor((turned + 0.5) * scale).astype(np.int64), 0, np.array(new_shape) - 1)

    def scaled(sigma) -> tuple[float, ...]:
        by_axis = np.empty(3)
        by_axis[turn.steps[:, 0].astype(int)] = options.sigma_vox(sigma, affine)
        return tuple(float(one) for one in by_axis[axes] * scale)

    return StoredClicks(
        Clicks(moved(clicks.tumor), moved(clicks.background), clicks.groups),
        replace(
            options,
            sigma_tumor=scaled(options.sigma_tumor),
            sigma_background=scaled(options.sigma_background),
            unit="voxel",
        ),
        tuple(float(one) for one in np.array(spacing_mm(canonical))[axes] / scale),
        tuple(int(length) for length in new_shape),
    )


def _turned(points: np.ndarray, turn: Turn, shape: Sequence[int]) -> np.ndarray:
    """Voxels (n, 3) of a volume of `shape` in the volume that `turn` makes of it."""
    turned = np.empty_like(points)
    for axis, (end, flip) in enumerate(turn.steps):
        turned[:, int(end)] = points[:, axis] if flip == 1 else shape[axis] - 1 - points[:, axis]
    return turned


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
