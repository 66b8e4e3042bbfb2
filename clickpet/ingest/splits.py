"""Folds of the cross-validation: by patient, stratified, one for all models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.files import read_json


def draw_splits(cases: Sequence[dict], *, n_folds: int, seed: int) -> dict:
    """Share the patients of `cases` out among `n_folds` folds.

    cases : dicts with "slug", "patient", "tracer" and "lesions" (number in the truth), in the table's order.
    Patients are grouped by their tracers and by having lesions; each group is dealt out in blocks of `n_folds`
    patients in the order they first appear, one patient a fold, the folds of a block shuffled by `seed`. So a
    case appended to the table leaves every other patient where it was.

    Returns {"seed", "folds": {fold: [patients]}, "cases": {slug: fold}}.
    Raises InputError if there are fewer patients than folds.
    """
    patients: dict[str, dict] = {}
    for case in cases:
        patient = patients.setdefault(case["patient"], {"tracers": set(), "lesions": False})
        patient["tracers"].add(case["tracer"])
        patient["lesions"] |= case["lesions"] > 0
    if len(patients) < n_folds:
        raise InputError(
            f"{len(patients)} train patients cannot be shared out among {n_folds} folds",
            mend="name fewer folds in the config key folds, or add patients",
        )
    groups: dict[tuple, list[str]] = defaultdict(list)
    for name, patient in patients.items():
        groups["+".join(sorted(patient["tracers"])), patient["lesions"]].append(name)
    fold_of: dict[str, int] = {}
    for group in sorted(groups):
        for position, name in enumerate(groups[group]):
            block, place = divmod(position, n_folds)
            order = np.random.default_rng([seed, block, *map(ord, repr(group))]).permutation(n_folds)
            fold_of[name] = int(order[place])
    return _as_splits(cases, fold_of, n_folds, seed)


def given_splits(path: str | Path, cases: Sequence[dict], *, n_folds: int) -> dict:
    """The user's own folds from an nnU-Net splits_final.json, whose names are original case names or slugs.

    cases : dicts with "case", "slug" and "patient".  Returns the same as `draw_splits`, seed null.
    Raises InputError if folds are missing, a case has no fold or several, or a patient is in several folds.
    """
    folds = read_json(path)
    if not isinstance(folds, list) or not all(isinstance(fold, dict) and "val" in fold for fold in folds):
        raise InputError("is no splits_final.json", where=path, mend='give a list of {"train": [...], "val": [...]}')
    if len(folds) != n_folds:
        raise InputError(f"has {len(folds)} folds, the config {n_folds}", where=path, mend="set the config key folds")
    fold_of_name: dict[str, list[int]] = defaultdict(list)
    for number, fold in enumerate(folds):
        for name in fold["val"]:
            fold_of_name[name].append(number)
    fold_of: dict[str, int] = {}
    for case in cases:
        numbers = fold_of_name.get(case["case"]) or fold_of_name.get(case["slug"]) or []
        if len(numbers) != 1:
            raise InputError(
                f"holds train case {case['case']!r} out in {len(numbers)} folds", where=path, mend="hold it out once"
            )
        if fold_of.setdefault(case["patient"], numbers[0]) != numbers[0]:
            raise InputError(
                f"puts patient {case['patient']!r} into several folds",
                where=path,
                mend="keep the studies of a patient together, else models are scored on patients they saw",
            )
    return _as_splits(cases, fold_of, n_folds, None)


def _as_splits(cases: Sequence[dict], fold_of: dict[str, int], n_folds: int, seed: int | None) -> dict:
    folds: dict[str, list[str]] = {str(fold): [] for fold in range(n_folds)}
    for name, fold in fold_of.items():
        folds[str(fold)].append(name)
    return {"seed": seed, "folds": folds, "cases": {case["slug"]: fold_of[case["patient"]] for case in cases}}
