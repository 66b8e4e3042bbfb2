"""How deep inference goes: which axes to mirror. Paper, section 2.2, "Dynamic Inference Depth".

Axes count as nnU-Net does on the network's grid: 0 is z, 1 is y, 2 is x.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from clickpet.errors import InputError

#: Below these numbers of voxels of the PET grid: three, two, one mirroring axis; none from the last on.
VOXEL_LIMITS = (18e6, 39e6, 90e6)
#: What is mirrored where 3, 2, 1, 0 axes are allowed.
DEPTHS = ((0, 1, 2), (1, 2), (2,), ())


def mirror_axes_for(n_voxels: int, voxel_limits: Sequence[float] = VOXEL_LIMITS) -> tuple[int, ...]:
    """Axes to mirror for a PET grid of `n_voxels`: (0, 1, 2) below the first limit, then (1, 2), (2,) and ().

    Limits are exclusive ("below 18 million voxels"). Raises InputError if they do not increase.
    """
    if len(voxel_limits) != 3 or sorted(voxel_limits) != list(voxel_limits):
        raise InputError(
            f"predict.voxel_limits is {list(voxel_limits)}", mend="give three increasing numbers of voxels"
        )
    for axes, limit in zip(DEPTHS, voxel_limits, strict=False):
        if n_voxels < limit:
            return axes
    return DEPTHS[-1]


def mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every combination of `axes` to flip at once, the unflipped tile first: 2^n of them."""
    return [combination for count in range(len(axes) + 1) for combination in combinations(sorted(axes), count)]
