"""Comparison report of runs (ablations): means, paired differences, ranking and curves on one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clickpet.evaluate.comparison import (
    METRICS,
    Run,
    differing_truths,
    latex_differences,
    paired_differences,
    per_study,
    rank_runs,
    run_means,
)
from clickpet.evaluate.tables import write_table
from clickpet.files import write_text
from clickpet.report.figures import curve_band
from clickpet.report.metric_definitions import definitions_block
from clickpet.report.page import Cell, Figure, Section, Table, Text, estimate, number, render_page
from clickpet.report.style import (
    GROUP_COLOURS,
    LIGHT_GREY,
    TRACER_COLOURS,
    TRACER_MARKERS,
    figure_style,
    legend_label,
    logarithmic,
    new_figure,
    png_bytes,
    tracer_name,
)

_SCORES = ("dice", "fpv_ml", "fnv_ml")


def write_comparison(
    runs: Sequence[Run],
    *,
    page: str | Path,
    table: str | Path,
    latex: str | Path,
    repeats: int,
    confidence: float,
    seed: int,
) -> None:
    """Compare `runs` with the first of them and write the page (HTML), the paired differences (TSV) and LaTeX."""
    options = {"repeats": repeats, "confidence": confidence, "seed": seed}
    differences = paired_differences(runs, **options)
    means = run_means(runs, **options)
    write_text(page, build_comparison(runs, means, differences, rank_runs(runs), **options))
    write_table(table, differences)
    write_text(latex, latex_differences(means, differences))


def build_comparison(
    runs: Sequence[Run], means: pd.DataFrame, differences: pd.DataFrame, ranking: pd.DataFrame | None = None, *,
    repeats: int, confidence: float, seed: int,
) -> str:  # fmt: skip
    """The page as HTML text.

    runs : the first is the reference;  means, differences : of `run_means` and `paired_differences`;  ranking : of the
    official ranking, None where it cannot be made.
    """
    reference, *others = runs
    curves = {"repeats": repeats, "confidence": confidence, "seed": seed}
    return render_page(
        title="Comparison of runs",
        lead=(
            f"{len(runs)} runs on the same studies; reference: “{reference.name}”. Differences are run minus "
            f"reference, "
            "study by study."
        ),
        sections=[
            Section("means", "Each run by itself", [*_warnings(runs), definitions_block(), _means_table(means)]),
            Section("ranking", "Official ranking", _ranking(ranking)),
            Section("differences", "Paired differences", [_difference_table(differences, confidence)]),
            Section(
                "studies",
                "Study by study",
                [_scatter(reference, other, place) for place, other in enumerate(others, start=1)],
            ),
            Section("curves", "Scores over clicks", _curves(runs, curves)),
            Section("tables", "All values", [_study_table(runs)]),
        ],
    )


def _warnings(runs: Sequence[Run]) -> list[Text]:
    warnings = []
    reference = set(runs[0].scores["slug"])
    for run in runs[1:]:
        slugs = set(run.scores["slug"])
        if slugs != reference:
            warnings.append(
                Text(
                    f"“{run.name}” and “{runs[0].name}” do not have the same studies: "
                    f"{len(slugs & reference)} in both, "
                    f"{len(reference - slugs)} only in the reference, {len(slugs - reference)} only in “{run.name}”. "
                    "Differences are over those in both.",
                    "warning",
                )
            )
    for name, count in differing_truths(runs).items():
        if count:
            text = f"{count} studies of “{name}” have another true lesion volume than in the reference."
            warnings.append(Text(text, "warning"))
    return warnings


def _means_table(means: pd.DataFrame) -> Table:
    rows = [
        [
            METRICS[metric][0],
            row["run"],
            row["studies"],
            row["patients"],
            estimate(row["mean"], row["low"], row["high"], 3),
        ]
        for metric in METRICS
        for row in means[means["metric"] == metric].to_dict("records")
    ]
    columns = [("Metric", "text"), ("Run", "text"), ("Studies", "number"), ("Patients", "number"), ("Mean", "number")]
    caption = "Means of each run over its own studies that have a value, with confidence intervals over patients."
    return Table("run-means", caption, columns, rows)


def _ranking(ranking: pd.DataFrame | None) -> list:
    if ranking is None:
        return [Text("The official ranking needs runs that were scored on the same studies and numbers of clicks.")]
    metrics = [metric for metric in METRICS if metric in ranking]
    columns = [("Place", "number"), ("Run", "text"), ("Rank score", "number")]
    columns += [(METRICS[metric][0], "number") for metric in metrics]
    rows = [
        [
            row["place"],
            row["method"],
            number(row["rank_score"], 3),
            *(
                Cell(f"{number(row[metric], 3).text} (rank {row[f'{metric}_rank']:g})", row[metric])
                for metric in metrics
            ),
        ]
        for row in ranking.to_dict("records")
    ]
    caption = (
        "Ranking of these runs as in autoPET IV: means within each tracer and centre, the mean of those, and ranks of "
        "them weighted Dice 0.25, FPV 0.125, FNV 0.125, and the same for their areas over the clicks. The lowest rank "
        "score wins."
    )
    note = "" if "auc_dice" in ranking else "Without scores over clicks in every run the areas are left out."
    return [Table("ranks", caption, columns, rows, note=note)]


def _difference_table(differences: pd.DataFrame, confidence: float) -> Table:
    columns = [("Run", "text"), ("Group", "text"), ("Metric", "text"), ("Studies", "number"), ("Patients", "number")]
    columns += [("Reference", "number"), ("Run's mean", "number"), ("Difference", "number")]
    columns += [("Better / equal / worse", "number")]
    rows = [
        [
            row["run"],
            _group_name(row["group"], row["level"]),
            METRICS[row["metric"]][0],
            row["studies"],
            row["patients"],
            number(row["reference_mean"], 3),
            number(row["mean"], 3),
            estimate(row["difference"], row["low"], row["high"], 3),
            Cell(f"{row['better']} / {row['equal']} / {row['worse']}", row["better"] - row["worse"]),
        ]
        for row in differences.to_dict("records")
    ]
    return Table(
        "paired",
        f"Paired differences (run minus reference) with {confidence * 100:g} % confidence intervals over patients.",
        columns,
        rows,
        note="Better: higher Dice, lower volumes. An interval that excludes 0 speaks for a difference; intervals are "
        "not "
        "corrected for the number of comparisons.",
    )


def _group_name(group: str, level: str) -> str:
    return {"overall": "all", "tracer": tracer_name(level)}.get(group, level)


def _scatter(reference: Run, other: Run, number_of_run: int) -> Figure:
    pair = reference.scores.merge(other.scores[["slug", *_SCORES]], on="slug", suffixes=("", "_other"))
    with figure_style():
        drawing = new_figure(2.6)
        for metric, panel in zip(_SCORES, drawing.subplots(1, len(_SCORES)), strict=True):
            known = pair.dropna(subset=[metric, f"{metric}_other"])
            for tracer, rows in known.groupby("tracer"):
                panel.scatter(
                    rows[metric], rows[f"{metric}_other"], s=12, alpha=0.7, linewidths=0, label=tracer_name(tracer),
                    color=TRACER_COLOURS.get(tracer), marker=TRACER_MARKERS.get(tracer, "s"),
                )  # fmt: skip
            top = 1.03
            if metric != "dice":
                top = 1.3 * max(1.0, *known[metric], *known[f"{metric}_other"])
                logarithmic(panel, "x", linear_below=1)
                logarithmic(panel, "y", linear_below=1)
            panel.plot([0, top], [0, top], color=LIGHT_GREY, linewidth=0.8)
            panel.set_xlim(-0.03 if metric == "dice" else -0.1, top)
            panel.set_ylim(-0.03 if metric == "dice" else -0.1, top)
            panel.set_box_aspect(1)
            panel.set_title(f"{METRICS[metric][0]}, n = {len(known)}")
            panel.set_xlabel("reference")
            panel.set_ylabel("run")
            if metric == "dice":
                panel.legend(loc="lower right")
    return Figure(
        f"scatter-{number_of_run}",
        f"“{other.name}” over “{reference.name}”, a dot per study. On the line both are equal; above it the run has "
        "the higher value. Volumes are linear below 1 ml, logarithmic above.",
        png_bytes(drawing),
        f"Scores of the studies in {other.name} over those in {reference.name}",
    )


def _curves(runs: Sequence[Run], options: dict) -> list:
    run_over_clicks = [run for run in runs if not run.interactive.empty]
    if not run_over_clicks:
        return [Text("None of the runs has an interactive evaluation.")]
    with figure_style():
        drawing = new_figure(2.6)
        for metric, panel in zip(_SCORES, drawing.subplots(1, len(_SCORES)), strict=True):
            for place, run in enumerate(run_over_clicks):
                colour = GROUP_COLOURS[place % len(GROUP_COLOURS)]
                band = curve_band(run.interactive, metric, **options)
                label = legend_label(f"{run.name} (n = {run.interactive['slug'].nunique()})")
                panel.plot(band.index, band["mean"], color=colour, marker="o", markersize=2.5, label=label)
                panel.fill_between(band.index, band["low"], band["high"], color=colour, alpha=0.15, linewidth=0)
            panel.set_title(METRICS[metric][0])
            panel.set_xlabel("clicks of each kind")
            panel.set_ylim(0, 1 if metric == "dice" else None)
        handles, labels = panel.get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=3)
    caption = "Mean scores over the clicks of each kind with confidence bands (bootstrap over patients)."
    return [Figure("run-curves", caption, png_bytes(drawing), "Scores of each run over the number of clicks")]


def _study_table(runs: Sequence[Run]) -> Table:
    frame = per_study(runs)
    values = [f"{metric}|{run.name}" for metric in _SCORES for run in runs]
    heads = [f"{METRICS[metric][0]}, {run.name}" for metric in _SCORES for run in runs]
    rows = [
        [row["case"], tracer_name(row["tracer"]), *(number(row[name], 3) for name in values)]
        for row in frame.to_dict("records")
    ]
    columns = [("Study", "text"), ("Tracer", "text"), *((head, "number") for head in heads)]
    caption = "Scores of every study in every run."
    return Table("all-values", caption, columns, rows, folded=f"Every study ({len(rows)})")
