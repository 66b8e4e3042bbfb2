"""The results of one run, read for its report: tables as pandas frames, records as dicts by case slug."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from clickpet.files import read_json

#: Columns that are names, whatever they look like ("001" is no number, "NA" is a name).
_TEXT_COLUMNS = (
    "case", "slug", "tracer", "tracer_found", "patient", "centre", "split", "fold", "group", "level", "split_by",
)  # fmt: skip


def read_table(path: str | Path) -> pd.DataFrame:
    """A tab- or comma-separated table with a header; names stay text, empty names stay empty, numbers are numbers.

    An empty file gives an empty frame.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        return pd.DataFrame()
    separator = "," if path.suffix == ".csv" else "\t"
    header = pd.read_csv(path, sep=separator, nrows=0, quoting=_quoting(separator))
    text = {name: str for name in header.columns if name in _TEXT_COLUMNS}
    missing = {name: [] if name in text else ["", "NA", "nan", "NaN", "null"] for name in header.columns}
    return pd.read_csv(
        path, sep=separator, dtype=text, keep_default_na=False, na_values=missing, quoting=_quoting(separator)
    )


def read_table_if_any(path: str | Path | None) -> pd.DataFrame:
    """`read_table`, or an empty frame where there is no path."""
    return read_table(path) if path else pd.DataFrame()


def read_findings(paths: str | Iterable[str]) -> pd.DataFrame | None:
    """Tables of findings as one, hard ones first; None where there is no table."""
    tables = [read_table(path) for path in ([paths] if isinstance(paths, str) else paths)]
    return pd.concat(tables, ignore_index=True).sort_values("severity", kind="stable") if tables else None


def _quoting(separator: str) -> int:
    return csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL


def read_by_case(paths: Iterable[str | Path]) -> dict[str, dict]:
    """JSON records of cases by slug: the name of the folder they lie in."""
    return {Path(path).parent.name: read_json(path) for path in paths}


def read_lesion_tables(paths: Iterable[str | Path], scores: pd.DataFrame) -> pd.DataFrame:
    """The true lesions of all scored cases: slug, volume_ml, found, and tracer, patient, centre of their case.

    paths : `{slug}/lesion_scores.csv`, comma-separated with a header.
    """
    rows = []
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rows.append((Path(path).parent.name, float(row["volume_ml"]), int(row["found"])))
    if not rows:
        return pd.DataFrame()
    lesions = pd.DataFrame(rows, columns=["slug", "volume_ml", "found"])
    return lesions.merge(scores[["slug", "tracer", "patient", "centre"]], on="slug", how="inner")


@dataclass(frozen=True)
class TrainingCurve:
    """One training: a value per epoch, NaN where there is none.

    fold : "0" ... or "all";  quality : pseudo-Dice of a lesion model, accuracy of the discriminator on its stopping
    cases;  training_cases, held_out_cases : numbers of studies;  held_out_quality : accuracy of the discriminator on
    the fold's own cases (None: not known);  constant : the tracer that a discriminator always answers, or None.
    """

    fold: str
    epochs: np.ndarray
    train_loss: np.ndarray
    val_loss: np.ndarray
    quality: np.ndarray
    training_cases: int | None = None
    held_out_cases: int | None = None
    held_out_quality: float | None = None
    constant: str | None = None


def read_training(path: str | Path) -> TrainingCurve:
    """The curve in a `training.json` of a lesion model or of the discriminator, lying in `fold_{fold}/`."""
    record = read_json(path)
    fold = Path(path).parent.name.removeprefix("fold_")
    if "pseudo_dice" in record:
        return TrainingCurve(
            fold,
            *(_numbers(record[name]) for name in ("epochs", "train_loss", "val_loss", "pseudo_dice")),
            training_cases=len(record["training_cases"]),
            held_out_cases=len(record["validation_cases"]),
        )
    rows = record["epochs"]
    columns = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
    return TrainingCurve(
        fold,
        *(_numbers([row[name] for row in rows]) for name in columns),
        training_cases=record["train"],
        held_out_cases=record["held_out"],
        held_out_quality=record["held_out_accuracy"],
        constant=record["constant"],
    )


def read_training_by_model(paths: Iterable[str | Path]) -> dict[str, list[TrainingCurve]]:
    """Curves by model ("fdg", "psma", "tracer") of files `{model}/fold_{fold}/training.json`."""
    curves: dict[str, list[TrainingCurve]] = {}
    for path in paths:
        curves.setdefault(Path(path).parent.parent.name, []).append(read_training(path))
    return curves


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


@dataclass(frozen=True)
class RunResults:
    """What a report is made of. Everything but provenance, cohort and scores may be empty.

    provenance : of `clickpet.report.provenance`;  cohort : `cohort.tsv`;  scores, summary, interactive,
    interactive_summary : the tables of the evaluation;  lesions : of `read_lesion_tables`;  accuracy : of the
    discriminator;  training : curves of "fdg", "psma" and "tracer" (the
    discriminator);  cases, predictions : {slug:
    record} of `case.json`, `prediction.json`;  quality : findings, None where they were not looked for;
    figures, case_pictures : paths of PNGs by name and by slug.
    """

    provenance: Mapping
    cohort: pd.DataFrame
    scores: pd.DataFrame
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactive: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactive_summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    lesions: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy: Mapping = field(default_factory=dict)
    training: Mapping = field(default_factory=dict)
    cases: Mapping = field(default_factory=dict)
    predictions: Mapping = field(default_factory=dict)
    quality: pd.DataFrame | None = None
    figures: Mapping = field(default_factory=dict)
    case_pictures: Mapping = field(default_factory=dict)

    @property
    def config(self) -> Mapping:
        """The resolved configuration."""
        return self.provenance["config"]

    @cached_property
    def names(self) -> dict[str, str]:
        """{slug: original name of the case}."""
        return dict(zip(self.cohort["slug"], self.cohort["case"], strict=True))
