"""Post-processing: removal of lesion components that are both tiny and faint. Paper, section 2.2, "Post-Processing"."""

from __future__ import annotations

import numpy as np

from clickpet.components import (
    DROPPED_CONNECTIVITY,
    component_max,
    components_of,
    encode_mask,
    iterate_voxels,
    label_components,
    sum_by_component,
)
from clickpet.errors import InputError
from clickpet.images import voxel_volume_ml


def drop_faint_specks(
    mask: np.ndarray,
    suv: np.ndarray,
    *,
    min_voxels: int = 10,
    min_suv_max: float = 4.0,
    min_volume_mm3: float | None = None,
    affine: np.ndarray | None = None,
    protected: np.ndarray | None = None,
) -> np.ndarray:
    """Drop components with fewer than `min_voxels` voxels AND SUVmax below `min_suv_max`.

    mask : (x, y, z), bool or any number, non-zero is lesion;  suv : float (x, y, z), g/ml;  affine : (4, 4), voxel to
    RAS mm, needed with `min_volume_mm3` only;  protected : int (n, 3), voxels x, y, z whose components stay.
    Returns a new bool (x, y, z) array in the memory order of `mask`; `mask` is left untouched.

    Components are 26-connected. With `min_volume_mm3` a component's volume is held against it instead of the count
    against `min_voxels` (the paper's section 4.1 names the missing volume as a limitation). Both limits keep what
    equals them; SUVs are compared in the precision of `suv`, and a component that holds a NaN stays.

    Raises InputError for shapes that differ and for `min_volume_mm3` without `affine`.
    Paper, section 2.2, "Post-Processing".
    """
    if mask.shape != suv.shape:
        raise InputError(f"mask {mask.shape} and SUV {suv.shape} differ in shape", mend="bring both to one grid")
    if min_volume_mm3 is not None and affine is None:
        raise InputError("min_volume_mm3 needs the grid of the mask", mend="give its affine")
    kept = mask != 0
    encoded = encode_mask(kept)
    component, count = label_components(encoded, DROPPED_CONNECTIVITY)
    voxels = sum_by_component(encoded.length, component, count)
    if min_volume_mm3 is None:
        small = voxels < min_voxels
    else:
        small = voxels * (1000 * voxel_volume_ml(affine)) < min_volume_mm3
    if protected is not None:
        small[components_of(encoded, component, protected)] = False
    # SUVs are looked up for the small components only.
    encoded, component = encoded.select(small[component]), component[small[component]]
    names, component = np.unique(component, return_inverse=True)
    faint = component_max(encoded, component, names.size, suv) < min_suv_max
    for _, _, index in iterate_voxels(encoded.select(faint[component])):
        kept[index] = False
    return kept
