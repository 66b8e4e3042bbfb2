"""Results of one run, read for its report: tables as pandas frames, records as dicts by case slug."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from clickpet.evaluate.tables import read_table
from clickpet.files import read_json


def read_findings(paths: str | Iterable[str]) -> pd.DataFrame | None:
    """Tables of findings as one, hard ones first; None where there is no table."""
    tables = [read_table(path) for path in ([paths] if isinstance(paths, str) else paths)]
    return pd.concat(tables, ignore_index=True).sort_values("severity", kind="stable") if tables else None


def by_case(paths: Iterable[str | Path]) -> dict[str, str | Path]:
    """Files of cases by slug: the name of the folder they lie in."""
    return {Path(path).parent.name: path for path in paths}


def read_by_case(paths: Iterable[str | Path]) -> dict[str, dict]:
    """JSON records of cases by slug."""
    return {slug: read_json(path) for slug, path in by_case(paths).items()}


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
class RoundResults:
    """Results of one protocol in rounds, as `results/{protocol}*.tsv` hold them.

    table : a row a study and round;  summary, safety, sizes, lesion_free : the tables of
    `clickpet.evaluate.rounds_tables`;  pictures : paths of PNGs by slug.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    safety: pd.DataFrame
    sizes: pd.DataFrame
    lesion_free: pd.DataFrame
    pictures: Mapping = field(default_factory=dict)


def read_rounds_results(tables: Iterable[str | Path], pictures: Iterable[str | Path]) -> dict[str, RoundResults]:
    """Results of the protocols in rounds by their names, from `{protocol}.tsv`, `{protocol}_summary.tsv`, ...

    pictures : `{slug}/{protocol}/rounds.png`.
    """
    protocols: dict[str, dict] = {}
    for path in map(Path, tables):
        protocol, _, name = path.stem.partition("_")
        protocols.setdefault(protocol, {})[name or "table"] = read_table(path)
    shown = [Path(path) for path in pictures]
    return {
        protocol: RoundResults(**found, pictures={path.parts[-3]: path for path in shown if path.parts[-2] == protocol})
        for protocol, found in protocols.items()
        if len(found.get("table", ()))
    }


@dataclass(frozen=True)
class RunResults:
    """Results of a run for its report. Everything but provenance, cohort and scores may be empty.

    provenance : of `clickpet.report.provenance`;  cohort : `cohort.tsv`;  scores, summary, interactive,
    interactive_summary, interactive_safety : the tables of the evaluation;  lesions : of `read_lesion_tables`;
    accuracy : of the discriminator;  training : curves of "fdg", "psma" and "tracer" (the discriminator);
    cases, predictions : {slug: record} of `case.json`, `prediction.json`;  quality : findings, None where they were not
    looked for;  studies : {slug: record} of `study.json`, of studies without a truth;  figures : paths of PNGs by name;
    case_pictures, rotations, lesion_slices : by slug;  rounds : {protocol: RoundResults}.
    """

    provenance: Mapping
    cohort: pd.DataFrame
    scores: pd.DataFrame
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactive: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactive_summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactive_safety: pd.DataFrame = field(default_factory=pd.DataFrame)
    lesions: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy: Mapping = field(default_factory=dict)
    training: Mapping = field(default_factory=dict)
    cases: Mapping = field(default_factory=dict)
    predictions: Mapping = field(default_factory=dict)
    quality: pd.DataFrame | None = None
    figures: Mapping = field(default_factory=dict)
    case_pictures: Mapping = field(default_factory=dict)
    rotations: Mapping = field(default_factory=dict)
    lesion_slices: Mapping = field(default_factory=dict)
    studies: Mapping = field(default_factory=dict)
    rounds: Mapping = field(default_factory=dict)

    @property
    def config(self) -> Mapping:
        """The resolved configuration."""
        return self.provenance["config"]

    @cached_property
    def names(self) -> dict[str, str]:
        """{slug: original name of the case}."""
        return dict(zip(self.cohort["slug"], self.cohort["case"], strict=True))
