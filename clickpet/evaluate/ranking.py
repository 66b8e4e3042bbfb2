"""Ranking of methods by the rule of the autoPET IV challenge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from clickpet.errors import InputError
from clickpet.evaluate.interactive import METRICS, interactive_areas
from clickpet.evaluate.tables import read_table

#: Weight of each metric in the rank, and whether more of it is better. Dice, FPV and FNV are those at the last step.
WEIGHTS = {
    "dice": (0.25, True),
    "fpv_ml": (0.125, False),
    "fnv_ml": (0.125, False),
    "auc_dice": (0.25, True),
    "auc_fpv_ml": (0.125, False),
    "auc_fnv_ml": (0.125, False),
}
#: Means that agree to so many significant digits are equal: sums in another order must not break a tie.
DIGITS = 12


def read_scores(path: str | Path) -> pd.DataFrame:
    """The scores of a method: a table, or of a folder of results interactive.tsv if it is there, else scores.tsv.

    Raises InputError if there is no such file or it lacks a column.
    """
    path = Path(path)
    if path.is_dir():
        path = next((path / name for name in ("interactive.tsv", "scores.tsv") if (path / name).is_file()), path)
    if not path.is_file():
        raise InputError("no such table of scores", where=path, mend="give scores.tsv or interactive.tsv of a run")
    try:
        table = read_table(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as a table ({type(error).__name__})", where=path) from error
    missing = [name for name in ("slug", "tracer", "centre", *METRICS) if name not in table]
    if missing:
        raise InputError(f"lacks the column {missing[0]}", where=path, mend="give scores.tsv or interactive.tsv")
    words = [name for name in METRICS if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        raise InputError(f"holds no numbers in the column {words[0]}", where=path)
    return table


def challenge_means(table: pd.DataFrame) -> dict[str, float]:
    """The challenge's average of one method: means within each tracer and centre, then the mean of those.

    table : `interactive.tsv` (a row per case and number of clicks) or `scores.tsv` (a row per case), with
    slug, tracer, centre, dice, fpv_ml, fnv_ml.

    Returns the metrics of WEIGHTS that the table gives (a table without clicks has no areas). Studies
    without a value leave the mean of their cell, a cell without any value leaves the mean of the cells.
    Studies without a centre make one cell per tracer.
    """
    studies = interactive_areas(table) if "clicks" in table else table.sort_values("slug")
    metrics = [metric for metric in WEIGHTS if metric in studies and (metric in METRICS or "clicks" in table)]
    centre = studies["centre"].fillna("").astype(str)
    cells = studies[metrics].astype(float).groupby([studies["tracer"], centre]).mean()
    return {metric: float(cells[metric].mean()) for metric in metrics}


def compare_methods(methods: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Rank `methods`, {name: interactive or score table}, by the challenge's rule, best first.

    Returns a row per method: place (1 is best; equal ones share the better place), method, rank_score (weighted
    mean of its ranks), then each metric's `challenge_means` and its rank `{metric}_rank`. In a metric,
    equal methods share the mean of their ranks and one without a value comes last. Tables
    without clicks are ranked by Dice, FPV and FNV alone, with the same weights in proportion.
    Methods of one place are in the order of their names.

    Raises InputError if no method is given, if the methods were not scored on the same studies, or
    if only some have clicks.
    """
    _check(methods)
    means = pd.DataFrame({name: challenge_means(table) for name, table in sorted(methods.items())}).T
    metrics = [metric for metric in WEIGHTS if metric in means]
    ranks = pd.DataFrame(index=means.index)
    for metric in metrics:
        rounded = means[metric].map(_rounded)
        ranks[metric] = rounded.rank(method="average", ascending=not WEIGHTS[metric][1], na_option="bottom")
    weights = np.array([WEIGHTS[metric][0] for metric in metrics])
    score = (ranks[metrics] * weights).sum(axis=1) / weights.sum()
    table = pd.DataFrame({"place": score.map(_rounded).rank(method="min").astype(int), "method": means.index})
    table["rank_score"] = score
    for metric in metrics:
        table[metric], table[f"{metric}_rank"] = means[metric], ranks[metric]
    return table.sort_values(["place", "method"]).reset_index(drop=True)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _check(methods: Mapping[str, pd.DataFrame]) -> None:
    if not methods:
        raise InputError("no method to rank", mend="give the table of at least one")
    (first, base), *others = methods.items()
    for name, table in others:
        if ("clicks" in table) != ("clicks" in base):
            raise InputError(
                f"only one of {first} and {name} has scores over clicks", mend="give interactive.tsv of both"
            )
        differing = sorted(set(table["slug"]) ^ set(base["slug"]))
        if differing:
            raise InputError(
                f"{first} and {name} were not scored on the same studies: {len(differing)} differ, e.g. {differing[0]}",
                mend="score all methods on one cohort",
            )
        if "clicks" in base and sorted(set(table["clicks"])) != sorted(set(base["clicks"])):
            raise InputError(f"{first} and {name} differ in their numbers of clicks", mend="use the same click_steps")
