"""Scores over the number of clicks: tables and areas under the curves. Official definition of autoPET IV, task 1.

Step k gives the first k tumour and the first k background clicks, k = 0 to 10. A score is judged by
its value at the last step and by the area under its values over the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from clickpet.errors import InputError
from clickpet.evaluate.tables import LABELS as STUDY_LABELS

#: Metrics of the official evaluation.
METRICS = ("dice", "fpv_ml", "fnv_ml")
#: Columns that name a study.
LABELS = tuple(name for name in STUDY_LABELS if name != "tracer_found")
#: Columns of `interactive.tsv`.
COLUMNS = (*LABELS, "clicks", *METRICS)


def area_under_clicks(values: Sequence[float], clicks: Sequence[float] | None = None) -> float:
    """Area under the scores of one case over its clicks, by the trapezoid rule.

    values : (steps,);  clicks : (steps,) rising numbers of clicks, None for 0, 1, 2, ...

    With the official 11 points a Dice that is always 1 gives 10. NaN if any value is NaN (a study
    without lesions has no Dice and no FNV at any step) and for fewer than two steps.
    Raises InputError if the clicks do not rise or are not as many as the values.
    """
    values = np.asarray(values, float)
    clicks = np.arange(values.size, dtype=float) if clicks is None else np.asarray(clicks, float)
    if clicks.shape != values.shape or np.any(np.diff(clicks) <= 0):
        raise InputError(f"{values.size} scores cannot be put over the clicks {clicks.tolist()}", mend="let them rise")
    return float(np.trapezoid(values, clicks)) if values.size > 1 else float("nan")


def interactive_rows(scores: Mapping[int, Mapping]) -> list[dict]:
    """Rows of `interactive.tsv` for one case, clicks rising. scores : {clicks: score of that step}."""
    names = [name for name in COLUMNS if name != "clicks"]
    return [{**{name: scores[k][name] for name in names}, "clicks": int(k)} for k in sorted(scores)]


def interactive_table(scores: Iterable[Mapping]) -> pd.DataFrame:
    """All steps of all cases, sorted by slug and clicks, with COLUMNS; a score without a value is NaN.

    scores : as in the `score.json` of a step (`clicks` says which).
    Raises InputError if a case has a step twice or not the steps of the others.
    """
    by_case: dict[str, dict[int, Mapping]] = {}
    for score in scores:
        steps = by_case.setdefault(score["slug"], {})
        if score["clicks"] in steps:
            raise InputError(f"has {score['clicks']} clicks twice", where=score["slug"], mend="give each step once")
        steps[score["clicks"]] = score
    rows = [row for slug in sorted(by_case) for row in interactive_rows(by_case[slug])]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table[list(METRICS)] = table[list(METRICS)].astype(float)
    check_steps(table)
    return table


def check_steps(table: pd.DataFrame) -> list[int]:
    """The steps that every case of an interactive table has, rising. Raises InputError if cases differ in them."""
    steps = table.groupby("slug", sort=True)["clicks"].apply(lambda clicks: tuple(sorted(clicks)))
    for slug, mine in steps.items():
        if mine != steps.iloc[0]:
            raise InputError(
                f"has scores at {list(mine)} clicks, {steps.index[0]} at {list(steps.iloc[0])}",
                where=slug,
                mend="run the target interactive again",
            )
    return list(steps.iloc[0]) if len(steps) else []


def interactive_areas(table: pd.DataFrame) -> pd.DataFrame:
    """A row per case of an interactive table: its labels, auc_dice, auc_fpv_ml, auc_fnv_ml, and the last step's scores.

    Columns: LABELS, then dice, fpv_ml, fnv_ml (at the most clicks) and the areas; sorted by slug.
    """
    steps = check_steps(table)
    table = table.sort_values(["slug", "clicks"], kind="stable")
    last = table[table["clicks"] == steps[-1]] if steps else table
    areas = last[[*(name for name in LABELS if name in table), *METRICS]].reset_index(drop=True)
    for metric in METRICS:
        curves = table[metric].to_numpy(float).reshape(len(areas), -1) if len(areas) else np.zeros((0, 0))
        areas[f"auc_{metric}"] = np.array([area_under_clicks(curve, steps) for curve in curves], float)
    return areas
