"""Patches that a network can take, before the cohort's voxels are known."""

from __future__ import annotations

from collections.abc import Sequence

from clickpet.errors import InputError

#: Least edge of the deepest feature map, as `clickpet.nnunet.plans.network_plans` has it.
MIN_FEATURE_MAP = 4

#: Voxels (z, y, x) as cohorts have them: cubes, thick slices, thin ones. How an edge is halved hardly depends on them.
SPACINGS_MM = ((3.0, 3.0, 3.0), (3.0, 2.0, 2.0), (5.0, 2.0, 2.0), (10.0, 2.0, 2.0), (2.0, 4.0, 4.0))


def check_patch_size(
    patch_size: Sequence[int], *, max_stages: int | None = None, spacing_mm: Sequence[float] | None = None
) -> None:
    """Raise InputError if no network can take the patch, with the next larger one that fits.

    patch_size : (z, y, x) in voxels;  max_stages : of the network, None for as many as fit;  spacing_mm : (z, y, x),
    None where it will be the cohort's median: then a patch is refused only if it fits none of SPACINGS_MM.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    pools = 999999 if max_stages is None else max_stages - 1
    patches = [
        get_pool_and_conv_props(spacing, tuple(patch_size), MIN_FEATURE_MAP, pools)[3]
        for spacing in ([spacing_mm] if spacing_mm else SPACINGS_MM)
    ]
    if all(list(patch) != list(patch_size) for patch in patches):
        raise InputError(
            f"{list(patch_size)} cannot be halved as often as the network does", where="train.patch_size",
            mend=f"use {[int(length) for length in patches[0]]}",
        )  # fmt: skip
