"""Removal of lesion components with a low SUVmax or a low mean probability."""

from __future__ import annotations

import numpy as np

from clickpet.components import (
    DROPPED_CONNECTIVITY,
    component_max,
    components_of,
    encode_mask,
    iterate_voxels,
    label_components,
)
from clickpet.errors import InputError


def drop_weak_components(
    mask: np.ndarray,
    suv: np.ndarray,
    *,
    min_suv_max: float = 0.0,
    min_probability: float = 0.0,
    probability: np.ndarray | None = None,
    protected: np.ndarray | None = None,
) -> np.ndarray:
    """Drop components whose SUVmax is below `min_suv_max` OR whose mean probability is below `min_probability`.

    mask : (x, y, z), non-zero is lesion, left untouched;  suv : float (x, y, z), g/ml;  probability : float
    (components,), `mean_of_components` of the same mask, needed with `min_probability` above 0;  protected : int
    (n, 3), voxels x, y, z whose components stay.

    Components are 26-connected; both limits keep what equals them, 0 asks for nothing, and a component whose SUVmax or
    probability is not known (NaN) stays. Unlike `drop_faint_specks` their size does not matter.
    Returns a new bool (x, y, z) array. Raises InputError for shapes that differ, and for probabilities that are missing
    or not of this mask.
    """
    if mask.shape != suv.shape:
        raise InputError(f"mask {mask.shape} and SUV {suv.shape} differ in shape", mend="bring both to one grid")
    kept = mask != 0
    encoded = encode_mask(kept)
    component, count = label_components(encoded, DROPPED_CONNECTIVITY)
    weak = np.zeros(count, bool)
    if min_suv_max > 0:
        weak |= component_max(encoded, component, count, suv) < min_suv_max
    if min_probability > 0:
        if probability is None:
            raise InputError(
                "the lesion probability of the components is not known",
                mend="predict again, or set postprocess.min_component_probability to 0",
            )
        if len(probability) != count:
            raise InputError(
                f"{len(probability)} probabilities for the {count} components of a mask", mend="predict again"
            )
        weak |= np.asarray(probability) < min_probability
    if protected is not None:
        weak[components_of(encoded, component, protected)] = False
    for _, _, index in iterate_voxels(encoded.select(weak[component])):
        kept[index] = False
    return kept
