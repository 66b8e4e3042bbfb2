"""Report sections on the scores: of studies, of lesions, and over the number of clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from clickpet.evaluate.agreement import agreement, sensitivity_by_volume
from clickpet.evaluate.run_results import RunResults
from clickpet.report.metric_definitions import definitions_block
from clickpet.report.page import DASH, Cell, Section, Table, Text, estimate, figure_blocks, number, study_cell
from clickpet.report.safety_table import safety_table
from clickpet.report.style import tracer_name

#: Columns of the score tables: name, heading, decimals.
SCORE_COLUMNS = (("dice", "Dice", 3), ("fpv_ml", "FPV, ml", 2), ("fnv_ml", "FNV, ml", 2))
DETECTION_COLUMNS = (("sensitivity", "Sensitivity", 2), ("precision", "Precision", 2), ("f1", "F1", 2))


def scores_section(run: RunResults) -> Section:
    """Definitions, mean scores with intervals, per-study figures, and the score of every study."""
    if run.scores.empty:
        return Section("scores", "Segmentation", [Text("No study has a truth: nothing was scored.")])
    confidence = run.config["evaluate"]["confidence"]
    ill = int(run.scores["dice"].notna().sum())
    blocks = [
        Text(
            f"{len(run.scores)} studies of {run.scores['patient'].nunique()} patients were scored; {ill} have lesions "
            f"and so a Dice and an FNV, {len(run.scores) - ill} have none and count for FPV only."
            + (" Train studies are scored out of fold." if "train" in set(run.scores["split"]) else "")
        ),
        definitions_block(areas=not run.interactive.empty),
        *summary_tables(run.summary, confidence),
    ]
    dice = (
        (
            "dice_by_case",
            f"A: Dice of each study with lesions (n = {ill}) over the true lesion volume. B: the same values per "
            "tracer in rising order, with mean (solid line) and median (dotted line).",
            "Scatter of Dice over lesion volume",
            "studies at the bottom (opened by their names in [[scores-by-study]]), and whether a low Dice is a matter "
            "of small volumes: a few voxels decide the Dice of a small lesion.",
        ),
    )
    blocks += figure_blocks(
        run.figures,
        *(dice if ill else ()),
        (
            "bland_altman_tmtv",
            "Bland-Altman plot of the total lesion volume (TMTV) of each study: predicted minus true over their mean, "
            "with bias and 95 % limits of agreement (bias ± 1.96 SD). Lesion-free studies count with a true TMTV of 0.",
            "Differences of predicted and true total lesion volume over their mean",
            "a bias away from 0 (volumes are taken too large or too small throughout), a spread that grows with the "
            "volume, and single studies beyond the limits.",
        ),
    )
    blocks.append(agreement_table(run.scores))
    blocks += lesion_blocks(run)
    blocks.append(score_table(run))
    return Section("scores", "Segmentation", blocks)


def summary_tables(summary: pd.DataFrame, confidence: float) -> list[Table]:
    """Means and intervals as in `summary.tsv`, a row per group: scores of voxels and volumes, scores of lesions."""
    tables = []
    interval = f"with {confidence * 100:g} % confidence intervals in brackets (bootstrap over patients)."
    for key, what, metrics, note in (
        ("summary", "Mean scores", SCORE_COLUMNS, "Dice and FNV: studies that have lesions only."),
        (
            "detection",
            "Mean lesion-wise scores of the studies",
            DETECTION_COLUMNS,
            "Sensitivity and F1: studies that have lesions; precision: studies in which something was predicted.",
        ),
    ):
        columns = [("Group", "text"), ("Studies", "number"), ("Patients", "number")]
        columns += [(heading, "number") for _, heading, _ in metrics]
        rows = [
            [group_name(row), row["studies"], row["patients"], *_intervals(row, metrics)]
            for row in summary.to_dict("records")
        ]
        note += " Studies and patients count all of a group. With one patient there is no interval."
        tables.append(Table(key, f"{what} {interval}", columns, rows, note=note))
    return tables


def group_name(row: Mapping) -> str:
    """A row's group in words: "all", "FDG", "FDG, UKT", "centre UKT", "fold 0"."""
    group, level = row["group"], str(row["level"])
    if group == "overall":
        return "all"
    if group.startswith("tracer"):
        tracer, _, rest = level.partition(" ")
        return f"{tracer_name(tracer)}, {rest}" if rest else tracer_name(tracer)
    return f"{group} {level}"


def _intervals(row: Mapping, columns: Sequence[tuple[str, str, int]]) -> list[Cell]:
    return [
        estimate(row[f"{metric}_mean"], row[f"{metric}_low"], row[f"{metric}_high"], digits)
        for metric, _, digits in columns
    ]


def agreement_table(scores: pd.DataFrame) -> Table:
    """Bias and limits of agreement of the total lesion volume, per tracer."""
    rows = []
    for tracer, members in scores.groupby("tracer"):
        bias, low, high = agreement((members["prediction_volume_ml"] - members["truth_volume_ml"]).to_numpy())
        rows.append(
            [tracer_name(tracer), len(members), number(bias), Cell(f"{number(low).text} to {number(high).text}")]
        )
    return Table(
        "agreement",
        "Agreement of predicted and true total lesion volume (TMTV).",
        [("Tracer", "text"), ("Studies", "number"), ("Bias, ml", "number"), ("95 % limits of agreement, ml", "number")],
        rows,
        empty="no study has a truth",
    )


def lesion_blocks(run: RunResults) -> list:
    """Sensitivity by lesion volume."""
    if run.lesions.empty:
        return [Text("There is no true lesion in the scored studies, so no lesion-wise sensitivity.")]
    evaluate = run.config["evaluate"]
    sensitivity = sensitivity_by_volume(
        run.lesions, repeats=evaluate["bootstrap_repeats"], confidence=evaluate["confidence"], seed=run.config["seed"]
    )
    total, found = int(sensitivity["lesions"].sum()), int(sensitivity["found"].sum())
    blocks = [Text(f"{found} of {total} lesions were found ({found / total * 100:.1f} %).")]
    blocks += figure_blocks(
        run.figures,
        (
            "sensitivity_by_volume",
            "Lesion-wise sensitivity by volume of the lesion; bars: share of found lesions, lines: confidence interval "
            "(bootstrap over patients), above the bars: found / all lesions.",
            "Share of lesions found, by lesion volume",
            "the volume below which lesions are missed; a bar of few lesions says little, which its interval shows.",
        ),
    )
    columns = [("Tracer", "text"), ("Volume, ml", "text"), ("Lesions", "number"), ("Patients", "number")]
    columns += [("Found", "number"), ("Sensitivity", "number")]
    blocks.append(
        Table(
            "sensitivity",
            "Lesion-wise sensitivity by volume of the lesion.",
            columns,
            [
                [
                    tracer_name(row["tracer"]),
                    Cell(row["volume"], row["low_ml"]),
                    row["lesions"],
                    row["patients"],
                    row["found"],
                    estimate(row["sensitivity"], row["low"], row["high"], 2),
                ]
                for row in sensitivity.to_dict("records")
            ],
        )
    )
    return blocks


def score_table(run: RunResults) -> Table:
    """A row per study, as in `scores.tsv`."""
    columns = [("Study", "text"), ("Tracer", "text"), ("Found as", "text"), ("Centre", "text"), ("Split", "text")]
    columns += [("Fold", "text"), *((heading, "number") for _, heading, _ in SCORE_COLUMNS)]
    columns += [("True TMTV, ml", "number"), ("Predicted TMTV, ml", "number"), ("Lesions found / true", "number")]
    rows = []
    for row in run.scores.to_dict("records"):
        lesions = Cell(DASH)
        if pd.notna(row.get("truth_lesions")):
            lesions = Cell(f"{row['found_lesions']:.0f} / {row['truth_lesions']:.0f}", row["truth_lesions"])
        rows.append(
            [
                study_cell(row["case"], row["slug"]),
                tracer_name(row["tracer"]),
                tracer_name(row["tracer_found"]),
                row["centre"] or DASH,
                row["split"],
                row["fold"] or DASH,
                *(number(row[metric], digits) for metric, _, digits in SCORE_COLUMNS),
                number(row["truth_volume_ml"]),
                number(row["prediction_volume_ml"]),
                lesions,
            ]
        )
    caption = "Scores of every study."
    return Table("scores-by-study", caption, columns, rows, folded=f"Scores of every study ({len(rows)})")


def interactive_section(run: RunResults) -> Section | None:
    """Scores over clicks and the areas under them; None where the interactive evaluation was not run."""
    if run.interactive.empty:
        return None
    steps = sorted(run.interactive["clicks"].unique())
    blocks = [
        Text(
            f"Step k uses the first k tumour and the first k background clicks of a study, k = {steps[0]} to "
            f"{steps[-1]}; n = {run.interactive['slug'].nunique()} studies of "
            f"{run.interactive['patient'].nunique()} patients. The same models are used at every step."
        )
    ]
    blocks += figure_blocks(
        run.figures,
        (
            "interactive_curves",
            "Mean Dice, FPV and FNV over the clicks of each kind, with "
            f"{run.config['evaluate']['confidence'] * 100:g} % confidence bands (bootstrap over patients). "
            "Dice and FNV: studies with lesions only.",
            "Dice, false positive and false negative volume over the number of clicks",
            "how much the first click brings, where the curves become flat, and whether the false positive volume "
            "rises with clicks.",
        ),
    )
    if not run.interactive_summary.empty:
        blocks += [area_table(run.interactive_summary), step_table(run.interactive_summary)]
    if not run.interactive_safety.empty:
        blocks.append(
            safety_table("interactive", run.interactive_safety, at="clicks", step="{} clicks", all_steps="all steps")
        )
    return Section("interactive", "Scores over clicks", blocks)


def area_table(summary: pd.DataFrame) -> Table:
    """Areas under the curves and the values at the first and the last step, as in `interactive_summary.tsv`."""
    steps = summary.loc[summary["measure"] == "value", "clicks"]
    rows = []
    for measure, clicks, what in (
        ("value", steps.min(), f"{steps.min()} clicks"),
        ("value", steps.max(), f"{steps.max()} clicks"),
        ("area", steps.max(), "area (AUC)"),
    ):
        chosen = summary[(summary["measure"] == measure) & (summary["clicks"] == clicks)]
        for row in chosen[chosen["group"].isin(["overall", "tracer", "centre", "tracer x centre"])].to_dict("records"):
            rows.append([group_name(row), what, row["studies"], row["patients"], *_intervals(row, SCORE_COLUMNS)])
    columns = [("Group", "text"), ("At", "text"), ("Studies", "number"), ("Patients", "number")]
    columns += [(heading, "number") for _, heading, _ in SCORE_COLUMNS]
    caption = (
        f"Mean scores without and with all clicks, and mean areas under the scores over 0 to {steps.max()} clicks (for "
        "volumes in ml times clicks), with confidence intervals."
    )
    return Table("areas", caption, columns, rows)


def step_table(summary: pd.DataFrame) -> Table:
    """Means at every number of clicks per tracer, as in `interactive_summary.tsv`."""
    values = summary[(summary["measure"] == "value") & summary["group"].isin(["overall", "tracer"])]
    rows = [
        [group_name(row), int(row["clicks"]), row["studies"], row["patients"], *_intervals(row, SCORE_COLUMNS)]
        for row in values.to_dict("records")
    ]
    columns = [("Group", "text"), ("Clicks", "number"), ("Studies", "number"), ("Patients", "number")]
    columns += [(heading, "number") for _, heading, _ in SCORE_COLUMNS]
    caption = "Mean scores at every number of clicks of each kind, with confidence intervals."
    return Table("steps", caption, columns, rows, folded=f"Scores at every number of clicks ({len(rows)} rows)")
