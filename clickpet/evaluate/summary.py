"""Summary tables: scores of studies as rows, and their means with confidence intervals by group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from clickpet.errors import InputError
from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.interactive import METRICS as CURVE_METRICS
from clickpet.evaluate.interactive import interactive_areas
from clickpet.evaluate.tables import LABELS

#: Metrics of `summary.tsv`.
METRICS = ("dice", "fpv_ml", "fnv_ml", "sensitivity", "precision", "f1")


def score_table(scores: Iterable[Mapping]) -> pd.DataFrame:
    """A row per case from the records in `score.json`, sorted by slug; numbers without a value are NaN.

    Raises InputError if a case is there twice.
    """
    records = sorted(scores, key=lambda score: score["slug"])
    for one, other in pairwise(records):
        if one["slug"] == other["slug"]:
            raise InputError("is scored twice", where=one["slug"], mend="give each score once")
    table = pd.DataFrame(records, columns=None if records else [*LABELS, *METRICS])
    for name in table.columns:
        table[name] = table[name].fillna("").astype(str) if name in LABELS else pd.to_numeric(table[name])
    return table


def summarise(
    table: pd.DataFrame,
    *,
    metrics: Sequence[str] = METRICS,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> pd.DataFrame:
    """Means of the metrics by group, with bootstrap intervals over patients.

    table : a row per study with tracer, patient, centre, split, fold and the metrics.

    Returns columns group, level, studies, patients, then {metric}_mean, {metric}_low, {metric}_high for
    each metric. Groups: overall (level "all"), tracer, centre, tracer x centre (level "fdg UKT"), fold, and,
    where the table has more than one split, split and tracer x split. Studies without a centre or a
    fold are in no group of that kind. studies and patients count all of the group; a study whose
    metric is NaN (Dice, FNV, sensitivity and F1 without true lesions, precision without predicted
    ones) is left out of that metric only. No value: NaN mean; one patient: NaN bounds.
    """
    rows = []
    for group, level, members in groups_of(table):
        row = {"group": group, "level": level, "studies": len(members), "patients": members["patient"].nunique()}
        for metric in metrics:
            values = members[metric].to_numpy(float)
            interval = bootstrap_mean(
                values, members["patient"].tolist(), repeats=repeats, confidence=confidence, seed=seed
            )
            row |= dict(zip((f"{metric}_mean", f"{metric}_low", f"{metric}_high"), interval, strict=True))
        rows.append(row)
    columns = [f"{metric}_{part}" for metric in metrics for part in ("mean", "low", "high")]
    return pd.DataFrame(rows, columns=["group", "level", "studies", "patients", *columns])


def summarise_interactive(
    table: pd.DataFrame, *, repeats: int = 2000, confidence: float = 0.95, seed: int
) -> pd.DataFrame:
    """Mean curves over clicks and areas under them, by group.

    table : of `clickpet.evaluate.interactive.interactive_table`.  Returns the columns of `summarise` for Dice,
    FPV and FNV with two more behind level: measure ("value" or "area") and clicks (of a value; of an area
    the last step). A study's area is taken over its own curve; the area rows are means of those.
    """
    parts = []
    options = {"metrics": CURVE_METRICS, "repeats": repeats, "confidence": confidence, "seed": seed}
    for clicks, members in table.groupby("clicks", sort=True):
        parts.append(summarise(members, **options).assign(measure="value", clicks=clicks))
    if len(table):
        areas = interactive_areas(table).drop(columns=list(CURVE_METRICS))
        areas = areas.rename(columns=lambda name: name.removeprefix("auc_"))
        parts.append(summarise(areas, **options).assign(measure="area", clicks=table["clicks"].max()))
    summary = pd.concat(parts, ignore_index=True) if parts else summarise(table, **options).assign(measure="", clicks=0)
    places = {key: place for place, key in enumerate(zip(summary["group"], summary["level"], strict=True))}
    order = [places[key] for key in zip(summary["group"], summary["level"], strict=True)]
    summary = summary.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    first = ["group", "level", "measure", "clicks"]
    return summary[[*first, *(name for name in summary.columns if name not in first)]]


def groups_of(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(group, level, rows) of every group of studies that a summary has, as `summarise` lists them."""
    if len(table):
        yield "overall", "all", table
    kinds = [("tracer",), ("centre",), ("tracer", "centre"), ("fold",)]
    if "split" in table and table["split"].nunique() > 1:
        kinds += [("split",), ("tracer", "split")]
    for names in kinds:
        if not set(names) <= set(table.columns):
            continue
        named = table[np.logical_and.reduce([table[name].fillna("").astype(str) != "" for name in names])]
        for level, members in named.groupby(list(names), sort=True):
            yield " x ".join(names), " ".join(map(str, level)), members
