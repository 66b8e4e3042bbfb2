"""How a training patch is moved (misalignment of the CT, rotation, scaling), and what must be read for it.

nnU-Net reads a patch large enough for any rotation and scaling and then moves it, which in two of three cases is a
mere crop. Here the move is drawn first, by nnU-Net's and our own transforms, and only its box is read.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

from clickpet.train.augmentation import MisalignChannel, inverse_rotation

#: Voxels read beyond what the arithmetic asks for, so that rounding cannot miss one.
SLACK_VOX = 1


@dataclass(frozen=True)
class Move:
    """Drawn parameters of one patch, all in (z, y, x).

    initial : size of the patch that nnU-Net would read, whose centre everything turns about;  patch : size that the
    network gets;  angles_deg, shift_vox : misalignment of the CT, before the rest;  affine : (3, 3), from voxels of
    the new patch to voxels of the initial one, both from their centres; None for a crop.
    """

    initial: tuple[int, int, int]
    patch: tuple[int, int, int]
    angles_deg: np.ndarray
    shift_vox: np.ndarray
    affine: np.ndarray | None

    @property
    def misaligned(self) -> bool:
        """Whether the CT moves."""
        return bool(self.angles_deg.any() or self.shift_vox.any())

    @property
    def crop(self) -> tuple[slice, ...]:
        """The part of the initial patch that is left if nothing turns: where nnU-Net's crop puts it."""
        starts = [max(0, whole // 2 - part // 2) for whole, part in zip(self.initial, self.patch, strict=True)]
        return tuple(slice(start, start + part) for start, part in zip(starts, self.patch, strict=True))

    def box(self) -> tuple[slice, ...]:
        """The part of the initial patch that the new patch depends on."""
        centre = (np.array(self.initial) - 1) / 2
        if self.affine is None:
            low = np.array([axis.start for axis in self.crop], float)
            high = np.array([axis.stop - 1 for axis in self.crop], float)
        else:
            reach = np.abs(self.affine) @ ((np.array(self.patch) - 1) / 2)
            low, high = np.floor(centre - reach) - SLACK_VOX, np.ceil(centre + reach) + SLACK_VOX
        if self.misaligned:
            farthest = np.maximum(np.abs(low - centre), np.abs(high - centre)) + np.abs(self.shift_vox)
            reach = np.abs(inverse_rotation(self.angles_deg)) @ farthest
            low, high = np.floor(centre - reach) - SLACK_VOX, np.ceil(centre + reach) + SLACK_VOX
        return tuple(
            slice(max(0, math.floor(first)), min(whole, math.ceil(last) + 1))
            for first, last, whole in zip(low, high, self.initial, strict=True)
        )


def draw_move(
    spatial: SpatialTransform, misalign: MisalignChannel | None, *, initial: tuple[int, ...], patch: tuple[int, ...]
) -> Move:
    """Draw a move with the very draws of `misalign` and then `spatial`, from NumPy's global generator."""
    still = {"angles_deg": np.zeros(3), "shift_vox": np.zeros(3)}
    drawn = still if misalign is None else misalign.get_parameters()
    small = copy(spatial)
    small.patch_size, small._grid_cache = (1, 1, 1), {}  # the draws, without the grid of a whole patch
    affine = small.get_parameters(image=torch.empty((1, *initial), device="meta"))["affine"]
    return Move(tuple(int(n) for n in initial), tuple(int(n) for n in patch), **drawn, affine=affine)
