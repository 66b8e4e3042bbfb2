"""Folds of the cross-validation: by patient, stratified, one for all models."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from clickpet.cohort import one_spelling, patient_key
from clickpet.errors import InputError
from clickpet.files import read_json


def draw_splits(cases: Sequence[dict], *, n_folds: int, seed: int, kept: dict | None = None) -> dict:
    """Share the patients of `cases` out among `n_folds` folds.

    cases : dicts with "slug", "patient", "tracer" and "lesions" (number in the truth), in any order;  kept : earlier
    splits (of this function) whose patients stay where they are, if they were drawn with the same seed and folds.
    Patients are grouped by their tracers and by having lesions. In an order that follows from their names and `seed`
    alone, each one comes into a fold that has the fewest patients of its group, of these into one with the fewest
    patients in all; what is left of a tie is decided by name and seed.

    Returns {"seed", "folds": {fold: [patients]}, "cases": {slug: fold}}, sorted by name.
    Raises InputError if there are fewer patients than folds.
    """
    cases = _with_one_spelling(cases)
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
    fold_of: dict[str, int] = {}
    if kept and kept["seed"] == seed and len(kept["folds"]) == n_folds:
        by_key = {patient_key(name): name for name in patients}
        fold_of = {
            by_key[patient_key(name)]: int(fold)
            for fold, names in kept["folds"].items()
            for name in names
            if patient_key(name) in by_key
        }
    group_of = {name: ("+".join(sorted(one["tracers"])), one["lesions"]) for name, one in patients.items()}
    in_group, in_all = Counter((group_of[name], fold) for name, fold in fold_of.items()), Counter(fold_of.values())
    for name in sorted(patients, key=lambda name: _draw(seed, name)):
        if name not in fold_of:
            group = group_of[name]
            fold = min(range(n_folds), key=lambda fold: (in_group[group, fold], in_all[fold], _draw(seed, name, fold)))
            fold_of[name] = fold
            in_group[group, fold] += 1
            in_all[fold] += 1
    return _as_splits(cases, fold_of, n_folds, seed)


def _draw(seed: int, *what: object) -> bytes:
    """A draw that follows from `seed` and `what` alone."""
    return hashlib.sha256(repr((seed, *what)).encode()).digest()


def given_splits(path: str | Path, cases: Sequence[dict], *, n_folds: int) -> dict:
    """The user's own folds from an nnU-Net splits_final.json, whose names are original case names or slugs.

    cases : dicts with "case", "slug" and "patient".  Returns the same as `draw_splits`, seed null.
    Raises InputError if folds are missing, a case has no fold or several, or a patient is in several folds.
    """
    cases = _with_one_spelling(cases)
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


def _with_one_spelling(cases: Sequence[dict]) -> list[dict]:
    """The cases with each patient in one spelling, so that "p1" and "P1 " stay in one fold."""
    spelling = one_spelling(case["patient"] for case in cases)
    return [{**case, "patient": spelling[case["patient"]]} for case in cases]


def _as_splits(cases: Sequence[dict], fold_of: dict[str, int], n_folds: int, seed: int | None) -> dict:
    folds: dict[str, list[str]] = {str(fold): [] for fold in range(n_folds)}
    for name in sorted(fold_of):
        folds[str(fold_of[name])].append(name)
    slugs = sorted(cases, key=lambda case: case["slug"])
    return {"seed": seed, "folds": folds, "cases": {case["slug"]: fold_of[case["patient"]] for case in slugs}}
