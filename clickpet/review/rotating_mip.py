"""Maximum intensity projections around the body's axis, and the way back from a point in one to a voxel.

The projections are stacked into a volume (across, turn, up), so that a viewer of volumes turns the body by changing
slices. Rays run at right angles to the z axis of the viewer's grid (x right, y anterior, z superior).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clickpet.projections import project_lines

#: Turns of the full circle; the first looks from the front.
TURNS = 36
#: Voxels smaller than about half of this are pooled before projecting: a screen shows no more.
PIXEL_MM = 4.0


@dataclass(frozen=True, eq=False)
class RotatingMip:
    """Geometry of the projections of a grid.

    shape : of the volume (x, y, z);  spacing_mm : its voxel edges;  turns : projections around the full circle.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    turns: int = TURNS

    @cached_property
    def pool(self) -> tuple[int, int, int]:
        """Voxels along x, y, z that become one before projecting."""
        return tuple(max(1, round(PIXEL_MM / edge)) for edge in self.spacing_mm)

    @cached_property
    def pixel_mm(self) -> tuple[float, float]:
        """Edges of a pixel across and up."""
        x, y, z = (edge * count for edge, count in zip(self.spacing_mm, self.pool, strict=True))
        return max(x, y), z

    @cached_property
    def _pooled(self) -> tuple[int, int, int]:
        return tuple(-(-length // count) for length, count in zip(self.shape, self.pool, strict=True))

    @cached_property
    def across(self) -> int:
        """Pixels across: the diagonal of a slice fits."""
        half_mm = np.hypot(*(self._pooled[axis] / 2 * self.pool[axis] * self.spacing_mm[axis] for axis in (0, 1)))
        return 2 * int(np.ceil(half_mm / self.pixel_mm[0])) + 3

    @property
    def mip_shape(self) -> tuple[int, int, int]:
        """(across, turns, up) of the projections."""
        return self.across, self.turns, self._pooled[2]

    def column(self, x: np.ndarray, y: np.ndarray, turn: int) -> np.ndarray:
        """Pixel across onto which voxels (pooled indices x, y) fall in a turn; int64."""
        angle = 2 * np.pi * turn / self.turns
        across_mm = (x - self._pooled[0] // 2) * self.pool[0] * self.spacing_mm[0] * np.cos(angle)
        across_mm = across_mm + (y - self._pooled[1] // 2) * self.pool[1] * self.spacing_mm[1] * np.sin(angle)
        return np.floor(across_mm / self.pixel_mm[0] + 0.5).astype(np.int64) + self.across // 2

    def project(self, volume: np.ndarray) -> np.ndarray:
        """Projections of a volume (x, y, z): its dtype, (across, turns, up); the volume's minimum where no ray goes."""
        pooled = self._pool(volume)
        lines = np.ascontiguousarray(pooled).reshape(-1, pooled.shape[2])
        # columns of air hold no maximum of a ray that crosses the body, and are most of a scan
        lowest = volume.min()
        kept = np.flatnonzero((lines > lowest).any(axis=1))
        lines = lines[kept]
        x, y = np.unravel_index(kept, pooled.shape[:2])
        mip = np.full(self.mip_shape, lowest, volume.dtype)
        for turn in range(self.turns if kept.size else 0):
            project_lines(lines, self.column(x, y, turn), mip[:, turn])
        return mip

    def project_voxels(self, voxels: np.ndarray) -> np.ndarray:
        """Projections of a mask whose voxels are listed, int (n, 3); uint8, 0 or 1."""
        x, y, z = (voxels // np.array(self.pool)).T
        mip = np.zeros(self.mip_shape, np.uint8)
        for turn in range(self.turns):
            mip[self.column(x, y, turn), turn, z] = 1
        return mip

    def voxel_at(self, volume: np.ndarray, across: int, turn: int, up: int) -> tuple[int, int, int] | None:
        """The highest voxel of `volume` on the ray of a pixel; None if the ray meets none."""
        slab = volume[:, :, up * self.pool[2] : (up + 1) * self.pool[2]]
        x, y = np.indices(self.shape[:2]) // np.array(self.pool[:2])[:, None, None]
        on_ray = np.flatnonzero(self.column(x.ravel(), y.ravel(), turn) == across)
        if not on_ray.size or not slab.size:
            return None
        x, y = np.unravel_index(on_ray, self.shape[:2])
        place, deep = np.unravel_index(np.argmax(slab[x, y]), (on_ray.size, slab.shape[2]))
        return int(x[place]), int(y[place]), int(up * self.pool[2] + deep)

    def _pool(self, volume: np.ndarray) -> np.ndarray:
        """Highest value of each block of `pool` voxels; blocks at the far edges may be smaller."""
        for axis, count in enumerate(self.pool):
            if count > 1:
                volume = np.maximum.reduceat(volume, np.arange(0, volume.shape[axis], count), axis=axis)
        return volume
