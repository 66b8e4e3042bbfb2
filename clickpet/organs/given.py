"""Import of given organ maps: relabelled, and resampled to the PET's grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.errors import InputError
from clickpet.images import Image, resample, same_grid
from clickpet.organs.labels import (
    LESIONTRACER_CLASSES,
    LESIONTRACER_ORGANS,
    ORGAN_CLASSES,
    ORGANS,
    relabel_organs,
    table_from_names,
)

SCHEMES = ("clickpet", "lesiontracer")
BACKGROUND = "background"


def scheme_table(scheme: str | Mapping[int | str, str]) -> dict[int, int]:
    """{value in the given map: organ number} of a scheme.

    scheme : "clickpet" (the values are organ numbers already), "lesiontracer" (its ten classes), or your own
    {value: name} with names of our organs, of TotalSegmentator's classes, or "background".

    Raises InputError for an unknown scheme, value or name.
    """
    if scheme == "clickpet":
        return {value: value for value in ORGANS.values()}
    if scheme == "lesiontracer":
        return table_from_names(LESIONTRACER_CLASSES, LESIONTRACER_ORGANS)
    if isinstance(scheme, str) or not scheme:
        raise InputError(
            f"organs.scheme {scheme!r} is not known", mend=f"give {' or '.join(SCHEMES)}, or a table {{value: name}}"
        )
    number = {BACKGROUND: 0, **ORGANS}
    number |= {name: ORGANS[organ] for organ, names in ORGAN_CLASSES.items() for name in names if name not in ORGANS}
    table = {}
    for value, name in scheme.items():
        if not str(value).isdecimal() or name not in number:
            raise InputError(
                f"organs.scheme names value {value!r} {name!r}",
                mend=f"give whole numbers and one of {', '.join(ORGANS)}, a class of TotalSegmentator, or {BACKGROUND}",
            )
        table[int(value)] = number[name]
    return table


def import_organs(
    organs: Image,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    *,
    scheme: str | Mapping[int | str, str] = "lesiontracer",
    erase: np.ndarray | None = None,
    where: object = None,
) -> np.ndarray:
    """Bring a given organ map to our numbers (uint8, x, y, z) on the grid (`shape`, `affine`).

    organs : label map on any grid, brought over by the nearest voxel, 0 outside its field of view;  scheme : as
    `scheme_table`;  erase : bool (x, y, z) on the new grid, voxels that become background (lesions; the released
    code does so);  where : the file, for messages.

    Raises InputError for values that the scheme does not name and for a map that does not touch the grid.
    """
    try:
        numbers = relabel_organs(organs.array, scheme_table(scheme))
    except InputError as error:
        raise InputError(str(error), where=where) from error
    if not same_grid(organs.shape, organs.affine, shape, affine):
        inside = resample(Image(np.ones(organs.shape, np.uint8), organs.affine), shape, affine, order="nearest")
        if not inside.any():
            raise InputError("does not overlap the PET", where=where, mend="give the organ map of the same study")
        numbers = resample(Image(numbers, organs.affine), shape, affine, order="nearest")
    if erase is not None:
        numbers[erase] = 0
    return numbers
