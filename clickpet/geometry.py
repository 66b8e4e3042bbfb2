"""Geometry of voxel grids: spacing, corners, right angles and orientation of affines.

An affine is float64 (4, 4), voxel index (x, y, z) to RAS+ millimetres. A grid is a shape and an affine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from clickpet.errors import InputError

#: LPS (DICOM, ITK) to RAS (NIfTI) coordinates, and back.
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Two grids are the same if no corner of the volume moves by more than this part of a voxel.
GRID_TOLERANCE_VOX = 0.05
#: Directions of the axes in which the networks see every study: to the left, anterior and superior, as the autoPET
#: release is stored.
CANONICAL = "LAS"
_MOST_DECIMALS = 9


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel edge lengths (x, y, z) in mm of an affine."""
    return tuple(float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0))


def voxel_volume_ml(affine: np.ndarray) -> float:
    """Volume of a voxel in ml."""
    return float(np.prod(spacing_mm(affine)) / 1000)


def corner_distance_mm(shape, affine_a: np.ndarray, affine_b: np.ndarray) -> float:
    """The farthest that a corner voxel of a grid of `shape` moves between two affines, in mm."""
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((affine_a - affine_b) @ corners)[:3], axis=0).max())


def same_grid(shape_a, affine_a, shape_b, affine_b) -> bool:
    """True if both grids have one shape and no corner is off by more than GRID_TOLERANCE_VOX."""
    if tuple(shape_a) != tuple(shape_b):
        return False
    return corner_distance_mm(shape_a, affine_a, affine_b) <= GRID_TOLERANCE_VOX * min(spacing_mm(affine_b))


def grid_text(shape, affine, decimals: int = 2) -> str:
    """A grid as a person would write it, for messages; lengths of voxels with so many decimals."""
    sizes = "x".join(str(length) for length in shape)
    edges = "x".join(f"{edge:.{decimals}f}" for edge in spacing_mm(affine))
    origin = ", ".join(f"{place:.{decimals - 1}f}" for place in affine[:3, 3])
    return f"{sizes} at {edges} mm, {orientation(affine)}, first voxel at ({origin}) mm"


def grid_texts(shape_a, affine_a, shape_b, affine_b) -> tuple[str, str]:
    """Texts of two grids that differ, with as many decimals as it takes to tell them apart; how far apart if none do.

    A tilt leaves spacing and first voxel as they are: the first text then says how far a corner is off.
    """
    for decimals in range(2, _MOST_DECIMALS):
        texts = grid_text(shape_a, affine_a, decimals), grid_text(shape_b, affine_b, decimals)
        if texts[0] != texts[1]:
            break
    if tuple(shape_a) == tuple(shape_b) and orientation(affine_a) == orientation(affine_b):
        off_mm = corner_distance_mm(shape_a, affine_a, affine_b)
        return f"{texts[0]}, a corner {off_mm:.3g} mm off", texts[1]
    return texts


def orientation(affine: np.ndarray) -> str:
    """Where the axes run to, such as LAS; ? for one that has no direction."""
    return "".join(code or "?" for code in aff2axcodes(affine))


def axial_axis(affine: np.ndarray) -> int:
    """The axis that runs most along the body, feet to head: axial slices lie across it."""
    return int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0])


def orthogonal(shape, affine: np.ndarray) -> np.ndarray:
    """The affine with axes at right angles that is nearest, with the same spacing and the same centre of the volume."""
    edges = np.array(spacing_mm(affine))
    left, _, right = np.linalg.svd(affine[:3, :3] / edges)
    nearest = affine.copy()
    nearest[:3, :3] = left @ right * edges
    centre = (np.array(shape[:3]) - 1) / 2
    nearest[:3, 3] += (affine[:3, :3] - nearest[:3, :3]) @ centre
    return nearest


def skew_mm(shape, affine: np.ndarray) -> float:
    """How far a corner of the volume lies from where it would be if the axes were at right angles, in mm."""
    return corner_distance_mm(shape, affine, orthogonal(shape, affine))


def refuse_skewed(shape, affine: np.ndarray, *, where: object = None) -> None:
    """InputError for a grid whose axes are not at right angles: a corner is off by more than GRID_TOLERANCE_VOX."""
    off_mm = skew_mm(shape, affine)
    if off_mm <= GRID_TOLERANCE_VOX * min(spacing_mm(affine)):
        return
    directions = affine[:3, :3] / np.array(spacing_mm(affine))
    cosines = np.array([directions[:, a] @ directions[:, b] for a, b in ((0, 1), (0, 2), (1, 2))])
    angle = np.degrees(np.arccos(np.abs(cosines).max().clip(0, 1)))
    raise InputError(
        f"its axes are not at right angles (sheared: {angle:.4g} degrees, voxels up to {off_mm:.3g} mm off)",
        where=where,
        mend="resample it to a grid of right angles, or export the series again without a tilted gantry",
    )


@dataclass(frozen=True, eq=False)
class Turn:
    """Flips and swaps of axes that bring volumes of one orientation into another, and back; no voxel changes its place.

    steps : as nibabel's `ornt_transform` gives them. Arrays that come out are views.
    """

    steps: np.ndarray

    @classmethod
    def between(cls, affine: np.ndarray, wanted: np.ndarray | str = CANONICAL) -> Turn:
        """The turn from the axes of `affine` to those of another affine, or to axes given as letters such as LAS.

        Tilted axes count as those that they are nearest to. The affine must not be singular.
        """
        end = axcodes2ornt(wanted) if isinstance(wanted, str) else io_orientation(wanted)
        return cls(ornt_transform(io_orientation(affine), end))

    def array(self, array: np.ndarray) -> np.ndarray:
        """A volume (x, y, z) turned."""
        return apply_orientation(array, self.steps)

    def affine(self, shape, affine: np.ndarray) -> np.ndarray:
        """The affine of a turned volume that had `shape` and `affine`."""
        return affine @ inv_ornt_aff(self.steps, shape)

    def back(self, array: np.ndarray) -> np.ndarray:
        """A turned volume (x, y, z) as it was."""
        inverse = np.empty_like(self.steps)
        for axis, (end, flip) in enumerate(self.steps):
            inverse[int(end)] = axis, flip
        return apply_orientation(array, inverse)
