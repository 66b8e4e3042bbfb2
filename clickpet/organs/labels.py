"""Organ labels: their numbers, and relabelling of other label maps by a look-up table.

Paper, section 2.2, "Additional Organs Supervision".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import numpy as np

from clickpet.errors import InputError

#: Organ values start here: 0 is background, and 1 is the lesion's number and is never an organ's.
FIRST_ORGAN = 2

_RIBS = [f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)]
_VERTEBRAE = [f"vertebrae_{name}" for name in ("S1", *(f"L{n}" for n in range(5, 0, -1)))]
_VERTEBRAE += [f"vertebrae_T{n}" for n in range(12, 0, -1)] + [f"vertebrae_C{n}" for n in range(7, 0, -1)]
_PAIRED_BONES = [
    f"{bone}_{side}" for bone in ("humerus", "scapula", "clavicula", "femur", "hip") for side in ("left", "right")
]

#: The 14 organs and the TotalSegmentator classes (tasks `total` and `head_glands_cavities`) of each: the 13 of
#: the paper in its order, and the pancreas, which the released code adds. "Parts of the digestive system" are
#: those of the released code.
ORGAN_CLASSES: dict[str, list[str]] = {
    "heart": ["heart"],
    "brain": ["brain"],
    "aorta": ["aorta"],
    "liver": ["liver"],
    "spleen": ["spleen"],
    "prostate": ["prostate"],
    "parotid_glands": ["parotid_gland_left", "parotid_gland_right"],
    "submandibular_glands": ["submandibular_gland_left", "submandibular_gland_right"],
    "digestive_system": ["stomach", "duodenum", "small_bowel", "colon", "gallbladder"],
    "kidneys": ["kidney_left", "kidney_right"],
    "bladder": ["urinary_bladder"],
    "lungs": [
        "lung_upper_lobe_left",
        "lung_lower_lobe_left",
        "lung_upper_lobe_right",
        "lung_middle_lobe_right",
        "lung_lower_lobe_right",
    ],
    "skeleton": ["sacrum", *_VERTEBRAE, *_PAIRED_BONES, "skull", *_RIBS, "sternum"],
    "pancreas": ["pancreas"],
}
#: Organ name to its value in the organ maps: 2..15.
ORGANS: dict[str, int] = {name: value for value, name in enumerate(ORGAN_CLASSES, start=FIRST_ORGAN)}

#: The classes of the LesionTracer organ maps, which exist for all studies of the autoPET III/IV training set.
LESIONTRACER_CLASSES: dict[int, str] = {
    1: "spleen",
    2: "kidneys",
    3: "liver",
    4: "urinary_bladder",
    5: "lungs",
    6: "brain",
    7: "heart",
    8: "stomach",
    9: "prostate",
    10: "head_glands",
}
#: ORGAN_CLASSES in the classes of LesionTracer. Its head glands are the parotid and the submandibular glands in
#: one class; they count as the parotid glands, the larger ones. Organs that it does not have stay empty.
LESIONTRACER_ORGANS: dict[str, list[str]] = {name: [] for name in ORGAN_CLASSES} | {
    "heart": ["heart"],
    "brain": ["brain"],
    "liver": ["liver"],
    "spleen": ["spleen"],
    "prostate": ["prostate"],
    "parotid_glands": ["head_glands"],
    "digestive_system": ["stomach"],
    "kidneys": ["kidneys"],
    "bladder": ["urinary_bladder"],
    "lungs": ["lungs"],
}
#: Voxels that are looked up at a time.
_CHUNK_VOX = 1 << 20
#: Marks values that no table names; no organ has it.
_UNKNOWN = 255


def organ_values(organs: Iterable[str]) -> dict[str, int]:
    """Values of the organs of a table: 2, 3, ... in the order of the table."""
    values = {name: value for value, name in enumerate(organs, start=FIRST_ORGAN)}
    if len(values) > _UNKNOWN - FIRST_ORGAN:
        raise InputError(f"{len(values)} organs do not fit into one byte", mend="merge some organs")
    return values


def table_from_names(source_names: Mapping[int, str], organs: Mapping[str, Iterable[str]]) -> dict[int, int]:
    """Look-up table from the values of a label map to organ values.

    source_names : value in the label map to class name (for example TotalSegmentator's class map);
    organs : organ name to the class names that make it up, in the order of the organ values (2, 3, ...);
    an empty list keeps the organ's number free. Classes that no organ names become background.
    Raises InputError for a class name that is not among `source_names` (with the nearest one that is) and
    for a class that two organs claim.
    """
    value_of = {name: value for value, name in source_names.items()}
    table = dict.fromkeys(sorted(source_names), 0)
    owner: dict[str, str] = {}
    for organ, target in organ_values(organs).items():
        for name in organs[organ]:
            if name not in value_of:
                near = get_close_matches(str(name), value_of, n=1, cutoff=0.0)
                raise InputError(
                    f"no class is named {name!r}",
                    where=f"organs, {organ}",
                    mend=f"did you mean {near[0]!r}?" if near else "the label map has no classes",
                )
            if owner.setdefault(name, organ) != organ:
                raise InputError(
                    f"the class {name!r} belongs to {owner[name]} already",
                    where=f"organs, {organ}",
                    mend="name it once",
                )
            table[value_of[name]] = target
    return table


def relabel_organs(labels: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """Bring a label map to organ values by look-up: uint8 (x, y, z), 0 background.

    labels : (x, y, z), any integer dtype, or floats that are whole numbers;  table : value in `labels` to
    organ value (0: background, 2..254 organs); 0 is background unless it says otherwise.
    Raises InputError that lists the values which the table does not name.
    """
    table = _checked_table(table)
    organs = np.empty(labels.shape, np.uint8, order="F" if labels.flags.f_contiguous else "C")
    unknown: set[int] = set()
    look_up = _look_up_bytes if labels.dtype == np.uint8 else _look_up_values
    for source, target in _chunks(labels, organs):
        target[:] = look_up(source, table)
        if (target == _UNKNOWN).any():
            unknown.update(np.unique(source[target == _UNKNOWN]).tolist())
    if unknown:
        listed = ", ".join(f"{value:g}" for value in sorted(unknown)[:10]) + (", ..." if len(unknown) > 10 else "")
        raise InputError(
            f"the organ map holds values that its table does not name: {listed}",
            mend="give the table of the tool that made it",
        )
    return organs


def _checked_table(table: Mapping[int, int]) -> dict[int, int]:
    """`table` with an entry for 0. Raises InputError for a value that no organ may have."""
    checked = {0: 0}
    for source, target in table.items():
        if target not in (0, *range(FIRST_ORGAN, _UNKNOWN)):
            raise InputError(f"organ value {target} for label {source}", mend="use 0 or 2..254; 1 means lesion")
        checked[int(source)] = int(target)
    return checked


def _chunks(labels: np.ndarray, organs: np.ndarray):
    """Flat pieces of both arrays, in the order of memory where `labels` allows it."""
    if labels.flags.f_contiguous:
        labels, organs = labels.T, organs.T
    if labels.flags.c_contiguous:
        flat, flat_organs = labels.reshape(-1), organs.reshape(-1)
        for start in range(0, flat.size, _CHUNK_VOX):
            yield flat[start : start + _CHUNK_VOX], flat_organs[start : start + _CHUNK_VOX]
    else:
        for sheet, sheet_organs in zip(labels, organs, strict=True):
            yield np.ascontiguousarray(sheet), sheet_organs


def _look_up_bytes(source: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Look-up of uint8 values; a value that `table` does not name gives _UNKNOWN."""
    row = bytes(table.get(value, _UNKNOWN) for value in range(256))
    return np.frombuffer(source.tobytes().translate(row), np.uint8).reshape(source.shape)


def _look_up_values(source: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Look-up of any values; one that `table` does not name or that is not whole gives _UNKNOWN."""
    low, high = min(table), max(table)
    row = np.full(high - low + 2, _UNKNOWN, np.uint8)
    for value, target in table.items():
        row[value - low] = target
    known = (source >= low) & (source <= high)
    if source.dtype.kind == "f":
        known &= source == np.floor(source)
    position = np.where(known, source, low).astype(np.int64) - low
    position[~known] = high + 1 - low
    return row[position]
