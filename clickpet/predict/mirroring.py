"""Test-time mirroring: how many axes, by the size of a case or by a time budget.

Paper, section 2.2, "Dynamic Inference Depth".

Axes count as nnU-Net does on the network's grid: 0 is z, 1 is y, 2 is x. Each axis doubles the forward passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from clickpet.errors import InputError

#: Below these numbers of voxels of the PET grid: three, two, one mirroring axis; none from the last on.
VOXEL_LIMITS = (18e6, 39e6, 90e6)
#: Axes that are mirrored where 3, 2, 1, 0 are allowed.
MIRROR_AXES = ((0, 1, 2), (1, 2), (2,), ())


@dataclass(frozen=True)
class Workload:
    """What decides how long a case takes.  voxels : of its PET grid;  tiles : of the sliding window;  members :
    networks of the ensemble."""

    voxels: int
    tiles: int
    members: int


def mirror_axes_for(n_voxels: int, voxel_limits: Sequence[float] = VOXEL_LIMITS) -> tuple[int, ...]:
    """Axes to mirror for a PET grid of `n_voxels`: (0, 1, 2) below the first limit, then (1, 2), (2,) and ().

    Limits are exclusive ("below 18 million voxels"). Raises InputError if they are not three that increase.
    """
    if len(voxel_limits) != 3 or sorted(voxel_limits) != list(voxel_limits):
        raise InputError(
            f"predict.voxel_limits is {list(voxel_limits)}", mend="give three increasing numbers of voxels"
        )
    for axes, limit in zip(MIRROR_AXES, voxel_limits, strict=False):
        if n_voxels < limit:
            return axes
    return MIRROR_AXES[-1]


def mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every combination of `axes` to flip at once, the unflipped tile first: 2^n of them."""
    return [combination for count in range(len(axes) + 1) for combination in combinations(sorted(axes), count)]


def expected_s(calibration: dict, workload: Workload, n_axes: int) -> float:
    """Seconds that a case will take by the table of `clickpet.predict.calibrate`, from start to written mask.

    fixed_s + per_voxel_s * voxels + pass_s[axes] * tiles * 2^axes * members
    """
    passes = workload.tiles * 2**n_axes * workload.members
    overhead = calibration["fixed_s"] + calibration["per_voxel_s"] * workload.voxels
    return overhead + calibration["pass_s"][str(n_axes)] * passes


def plan_axes(calibration: dict, workload: Workload, *, time_limit_s: float) -> tuple[tuple[int, ...], float]:
    """The most mirroring axes that fit into `time_limit_s`, and the seconds expected with them.

    Depends on nothing but its arguments, so that the same case gets the same depth on every run. A case that does
    not fit without any mirroring is run without: its expected seconds exceed the limit.
    """
    for axes in MIRROR_AXES:
        seconds = expected_s(calibration, workload, len(axes))
        if seconds <= time_limit_s or not axes:
            return axes, seconds
    raise AssertionError("DEPTHS ends with no axes")
