"""Site of each lesion by an organ map: bone, an organ, or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clickpet.errors import InputError
from clickpet.organs.labels import ORGANS

#: A lesion is in an organ that holds at least this share of its voxels.
IN_ORGAN = 0.5
BONE, ELSEWHERE = "bone", "elsewhere"
#: What organs are called as sites, where that is not their name.
_NAMES = {"skeleton": BONE, **{name: name.replace("_", " ") for name in ORGANS if name != "skeleton"}}
_SITES = {value: _NAMES[name] for name, value in ORGANS.items()}


def lesion_sites(numbers: np.ndarray, organs: np.ndarray) -> list[str]:
    """Site of the lesions 1..n: "bone", an organ such as "liver", or "elsewhere".

    numbers : uint16 (x, y, z), of `clickpet.evaluate.lesion_table.number_lesions`;  organs : (x, y, z), values of
    `clickpet.organs.labels.ORGANS`, kept under lesions.

    "elsewhere" is what half a lesion shares with no organ of the map: lymph nodes and other soft tissue, which the
    map has no class for, and bone where the map has no skeleton (the ten classes of LesionTracer). Raises InputError
    for maps of another shape.
    """
    if numbers.shape != organs.shape:
        raise InputError(f"lesions {numbers.shape} and organs {organs.shape} differ in shape")
    inside = numbers > 0
    kinds = max(ORGANS.values()) + 1
    count = int(numbers.max(initial=0))
    pairs = numbers[inside].astype(np.int64) * kinds + organs[inside]
    shares = np.bincount(pairs, minlength=(count + 1) * kinds).reshape(-1, kinds)[1:]
    largest = shares[:, 2:].argmax(axis=1) + 2
    enough = shares[np.arange(count), largest] >= IN_ORGAN * shares.sum(axis=1)
    return [_SITES[int(value)] if sure else ELSEWHERE for value, sure in zip(largest, enough, strict=True)]


def volume_by_site(sites: Sequence[str], volumes_ml: Sequence[float]) -> dict[str, float]:
    """Volume of all lesions in bone, in other organs and elsewhere: {"bone_ml", "organs_ml", "elsewhere_ml"}."""
    found = {"bone_ml": 0.0, "organs_ml": 0.0, "elsewhere_ml": 0.0}
    for site, volume_ml in zip(sites, volumes_ml, strict=True):
        found[f"{site if site in (BONE, ELSEWHERE) else 'organs'}_ml"] += float(volume_ml)
    return found
