"""Folds of the cross-validation: by patient, stratified, one for all models."""

from __future__ import annotations

import hashlib
from collections import Counter
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

    cases : dicts with "case", "slug" and "patient".  Returns the same as `draw_splits`, seed null. Names of cases that
    are not among `cases` are passed over; an empty or missing "train" stands for all cases that are not held out.
    Raises InputError if the file is broken, folds are missing, a case has no fold or several or is left out of a
    fold's training, or a patient is in several folds.
    """
    cases = _with_one_spelling(cases)
    folds = [_names(fold, number, path) for number, fold in enumerate(_folds(path))]
    if len(folds) != n_folds:
        raise InputError(f"has {len(folds)} folds, the config {n_folds}", where=path, mend="set the config key folds")
    fold_of: dict[str, int] = {}
    for case in cases:
        names = {case["case"], case["slug"]}
        numbers = [number for number, (_, held_out) in enumerate(folds) if names & held_out]
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
    for number, (training, held_out) in enumerate(folds):
        if training:
            _check_training(training, held_out, number, cases, path)
    return _as_splits(cases, fold_of, n_folds, None)


def _folds(path: str | Path) -> list:
    mend = 'give nnU-Net\'s list of {"train": [names], "val": [names]}, one a fold'
    try:
        folds = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({str(error)[:160]})", where=path, mend=mend) from error
    if not isinstance(folds, list) or not all(isinstance(fold, dict) and "val" in fold for fold in folds):
        raise InputError("is no splits_final.json", where=path, mend=mend)
    return folds


def _names(fold: dict, number: int, path: str | Path) -> tuple[set[str], set[str]]:
    """Names in a fold's "train" (none if it is not there) and "val"."""
    for key in ("train", "val"):
        names = fold.get(key, [])
        if not _is_list_of_names(names):
            raise InputError(
                f'"{key}" of fold {number} is no list of names', where=path, mend=f'write "{key}": ["case a", "case b"]'
            )
    return set(fold.get("train", [])), set(fold["val"])


def _check_training(
    training: set[str], held_out: set[str], number: int, cases: Sequence[dict], path: str | Path
) -> None:
    """A fold is trained on all cases that it does not hold out: InputError if its list says something else."""
    both = sorted(training & held_out)
    if both:
        raise InputError(
            f"fold {number} trains on {both[0]!r}, which it holds out", where=path, mend="take it out once"
        )
    absent = [case["case"] for case in cases if not {case["case"], case["slug"]} & (training | held_out)]
    if absent:
        raise InputError(
            f"fold {number} neither trains on nor holds out {absent[0]!r}"
            + (f" and {len(absent) - 1} more" if len(absent) > 1 else ""),
            where=path,
            mend='add them to "train", or take them out of the cohort table: a fold trains on all it does not hold out',
        )


def read_splits(path: str | Path) -> dict:
    """splits.json as `draw_splits` gives it ("seed" None and "folds" empty where they are not there).

    Raises InputError if it is broken: no JSON, no fold for each case, a fold that is no number, text for a list.
    """
    mend = "delete it: the folds are drawn again, and stay as they were where results/training/splits.json has them"
    try:
        splits = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({str(error)[:160]})", where=path, mend=mend) from error
    if not isinstance(splits, dict) or not isinstance(splits.get("cases"), dict):
        raise InputError('holds no "cases" with their folds', where=path, mend=mend)
    splits = {"seed": None, "folds": {}, **splits}
    for case, fold in splits["cases"].items():
        if type(fold) is not int or fold < 0:
            raise InputError(f"the fold of {case!r} is {str(fold)[:40]!r}, no number", where=path, mend=mend)
    folds = splits["folds"]
    if not isinstance(folds, dict) or not all(
        number.isdecimal() and _is_list_of_names(folds[number]) for number in folds
    ):
        raise InputError('its "folds" are no lists of patients', where=path, mend=mend)
    return splits


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


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
