"""A spatial transform as nnU-Net trains with, on patches small enough for tests."""

from __future__ import annotations

from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

INITIAL, PATCH = (40, 37, 44), (24, 20, 28)


def spatial(**changes) -> SpatialTransform:
    """The transform with `changes` of its options."""
    options = {
        "patch_size": PATCH, "patch_center_dist_from_border": 0, "random_crop": False, "p_rotation": 0.5,
        "rotation": (-0.5, 0.5), "p_scaling": 0.5, "scaling": (0.7, 1.4), "p_synchronize_scaling_across_axes": 1,
        "border_mode_seg": "constant", "padding_value_seg": -1,
    }  # fmt: skip
    return SpatialTransform(**options | changes)
