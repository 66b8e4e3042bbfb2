"""Comparison of runs on the same studies: paired differences with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from clickpet.errors import InputError
from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.interactive import interactive_areas
from clickpet.evaluate.latex import latex_table
from clickpet.evaluate.ranking import compare_methods
from clickpet.evaluate.tables import read_table

#: Metrics with their names, and whether more is better.
METRICS = {
    "dice": ("Dice", True),
    "fpv_ml": ("FPV (ml)", False),
    "fnv_ml": ("FNV (ml)", False),
    "auc_dice": ("AUC-Dice", True),
    "auc_fpv_ml": ("AUC-FPV (ml)", False),
    "auc_fnv_ml": ("AUC-FNV (ml)", False),
}
_CURVE_METRICS = ("dice", "fpv_ml", "fnv_ml")
#: Differences up to this size are no differences.
EQUAL_WITHIN = 1e-9
COLUMNS = (
    "run", "reference", "group", "level", "metric", "studies", "patients", "reference_mean", "mean", "difference",
    "low", "high", "better", "equal", "worse",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Scores of one run.  name : what it is called;  scores : of `scores.tsv`;  interactive : of `interactive.tsv`."""

    name: str
    scores: pd.DataFrame
    interactive: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_run(name: str, scores: str | Path, interactive: str | Path | None = None) -> Run:
    """Read the tables of a run. Raises InputError where `scores` has no studies."""
    table = read_table(scores)
    if table.empty:
        raise InputError("holds no study", where=scores, mend="run the target evaluate first")
    return Run(name, table, read_table(interactive) if interactive else pd.DataFrame())


def read_run_folder(name: str, folder: str | Path) -> Run:
    """Read a run from its folder of results. Raises InputError where no studies were scored in it."""
    scores, interactive = Path(folder, "scores.tsv"), Path(folder, "interactive.tsv")
    if not scores.is_file():
        raise InputError("no such file", where=scores, mend="give a folder of results in which evaluate was run")
    return read_run(name, scores, interactive if interactive.is_file() else None)


def study_values(run: Run) -> pd.DataFrame:
    """A row per study (index slug): case, tracer, patient, centre, dice, fpv_ml, fnv_ml and, where the interactive
    evaluation was run, the areas under them over the clicks: auc_dice, auc_fpv_ml, auc_fnv_ml."""
    values = run.scores.set_index("slug")[["case", "tracer", "patient", "centre", *_CURVE_METRICS]]
    if run.interactive.empty:
        return values
    areas = interactive_areas(run.interactive).set_index("slug")
    return values.join(areas[[f"auc_{metric}" for metric in _CURVE_METRICS]], how="left")


def paired_differences(runs: Sequence[Run], *, repeats: int, confidence: float, seed: int) -> pd.DataFrame:
    """Every run minus the first one, study by study: overall, per tracer and per centre.

    Only studies that both runs have a value for count. Intervals are bootstrapped over patients. Returns a frame
    with COLUMNS; better, equal and worse are numbers of studies.

    Raises InputError for fewer than two runs, two of one name, or runs that share no study.
    """
    check_runs(runs)
    reference, *others = runs
    base = study_values(reference)
    rows = []
    for other in others:
        values = study_values(other)
        for metric, (_, more_is_better) in METRICS.items():
            if metric not in base or metric not in values:
                continue
            pair = base[["tracer", "centre", "patient", metric]].join(values[metric].rename("other"), how="inner")
            pair = pair.dropna(subset=[metric, "other"])
            for group, level, members in _groups(pair):
                difference = (members["other"] - members[metric]).to_numpy(float)
                mean, low, high = bootstrap_mean(
                    difference, members["patient"].tolist(), repeats=repeats, confidence=confidence, seed=seed
                )
                gain = difference if more_is_better else -difference
                rows.append(
                    {
                        "run": other.name,
                        "reference": reference.name,
                        "group": group,
                        "level": level,
                        "metric": metric,
                        "studies": len(members),
                        "patients": members["patient"].nunique(),
                        "reference_mean": members[metric].mean(),
                        "mean": members["other"].mean(),
                        "difference": mean,
                        "low": low,
                        "high": high,
                        "better": int((gain > EQUAL_WITHIN).sum()),
                        "equal": int((np.abs(gain) <= EQUAL_WITHIN).sum()),
                        "worse": int((gain < -EQUAL_WITHIN).sum()),
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def check_runs(runs: Sequence[Run]) -> None:
    """Raise InputError unless `runs` can be compared."""
    names = [run.name for run in runs]
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run is given", mend="give two or more folders of results to compare")
    if len(set(names)) < len(names):
        raise InputError(f"two runs have one name: {', '.join(names)}", mend="give every run a name of its own")
    reference = set(runs[0].scores["slug"])
    for run in runs[1:]:
        if not reference & set(run.scores["slug"]):
            raise InputError(
                f"runs {runs[0].name!r} and {run.name!r} share no study", mend="compare runs on the same cohort"
            )


def _groups(pair: pd.DataFrame):
    if len(pair):
        yield "overall", "all", pair
    for group in ("tracer", "centre"):
        if pair[group].replace("", np.nan).nunique() > 1 or group == "tracer":
            for level, members in pair.groupby(group):
                yield group, level, members


def per_study(runs: Sequence[Run]) -> pd.DataFrame:
    """Values of all runs side by side: slug, case, tracer, patient, centre and a column `metric|run` each."""
    frame = study_values(runs[0])[["case", "tracer", "patient", "centre"]]
    for run in runs:
        values = study_values(run)
        frame = frame.join(
            values[[name for name in METRICS if name in values]].rename(
                columns=lambda name, run=run: f"{name}|{run.name}"
            ),
            how="outer",
        )
    return frame.rename_axis("slug").reset_index()


def differing_truths(runs: Sequence[Run]) -> dict[str, int]:
    """{name of a run: number of studies whose true lesion volume is not that of the first run}."""
    base = runs[0].scores.set_index("slug")["truth_volume_ml"]
    found = {}
    for run in runs[1:]:
        both = pd.concat([base, run.scores.set_index("slug")["truth_volume_ml"]], axis=1, join="inner").to_numpy(float)
        found[run.name] = int((~np.isclose(both[:, 0], both[:, 1], rtol=1e-6, atol=1e-6, equal_nan=True)).sum())
    return found


def run_means(runs: Sequence[Run], *, repeats: int, confidence: float, seed: int) -> pd.DataFrame:
    """Means of each run by itself: run, metric, studies, patients, mean, low, high."""
    rows = []
    for run in runs:
        values = study_values(run)
        for metric in METRICS:
            if metric not in values:
                continue
            known = values.dropna(subset=[metric])
            mean, low, high = bootstrap_mean(
                known[metric].to_numpy(float), known["patient"].tolist(), repeats=repeats, confidence=confidence,
                seed=seed,
            )  # fmt: skip
            patients = known["patient"].nunique()
            rows.append([run.name, metric, len(known), patients, mean, low, high])
    return pd.DataFrame(rows, columns=["run", "metric", "studies", "patients", "mean", "low", "high"])


def latex_differences(means: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Means of the reference run, then differences of the other runs to it, as a LaTeX table (package booktabs).

    means, differences : of `run_means` and `paired_differences`; only the overall differences are taken.
    """
    overall = differences[differences["group"] == "overall"]
    rows = []
    for reference in dict.fromkeys(overall["reference"]):
        own = means[means["run"] == reference]
        row = {"group": "mean", "run": reference}
        row |= {f"{metric}_mean": mean for metric, mean in zip(own["metric"], own["mean"], strict=True)}
        row |= {f"{metric}_low": low for metric, low in zip(own["metric"], own["low"], strict=True)}
        row |= {f"{metric}_high": high for metric, high in zip(own["metric"], own["high"], strict=True)}
        rows.append(row)
    for name, own in overall.groupby("run", sort=False):
        row = {"group": "difference", "run": name}
        for entry in own.to_dict("records"):
            parts = {"mean": entry["difference"], "low": entry["low"], "high": entry["high"]}
            row |= {f"{entry['metric']}_{part}": value for part, value in parts.items()}
        rows.append(row)
    return latex_table(pd.DataFrame(rows), digits=3)


def rank_runs(runs: Sequence[Run]) -> pd.DataFrame | None:
    """The official ranking of `runs`, over their clicks if all have them; None where they have not the same studies."""
    over_clicks = all(not run.interactive.empty for run in runs)
    try:
        return compare_methods({run.name: run.interactive if over_clicks else run.scores for run in runs})
    except InputError as error:
        print(f"no ranking: {error}")
        return None
