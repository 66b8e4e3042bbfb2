"""Report sections on interaction in rounds: curves, areas, safety of interaction, lesion sizes, lesion-free studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from clickpet.evaluate.run_results import RoundResults, RunResults
from clickpet.report.page import Figure, Section, Table, Text, estimate, figure_blocks, number
from clickpet.report.safety_table import safety_table
from clickpet.report.score_section import group_name

#: Studies whose rounds are shown, worst first.
SHOWN_STUDIES = 6
#: Columns of the tables: name in `rounds_summary.tsv`, heading, decimals.
COLUMNS = (
    ("dice", "Dice", 3),
    ("challenge_dice", "Dice, empty counts", 3),
    ("f1_iou10", "Lesion F1 (IoU ≥ 0.1)", 3),
    ("fpv_ml", "FPV, ml", 2),
    ("fnv_ml", "FNV, ml", 2),
)
_TITLES = {"rounds": "Interaction in rounds", "replay": "Replayed interaction"}
_LEADS = {
    "rounds": "Round 0 is without interaction. Each further round adds one scribble, drawn by the rules of autoPET V "
    "into the largest error of the mask of the round before: adaptive interaction, another experiment than fixed "
    "clicks.",
    "replay": "Round 0 is without interaction. Each further round adds what was given for it, whatever the model's "
    "mask was: interaction that was made for another model is worth less than interaction with this one.",
}


def rounds_sections(run: RunResults) -> list[Section]:
    """A section for each protocol in rounds that was run."""
    return [_section(run, protocol, results) for protocol, results in run.rounds.items()]


def _section(run: RunResults, protocol: str, results: RoundResults) -> Section:
    studies = results.table.drop_duplicates("slug")
    last = int(results.table["round"].max())
    blocks = [
        Text(
            f"{_LEADS[protocol]} {last + 1} rounds; n = {len(studies)} studies of {studies['patient'].nunique()} "
            "patients. The same models are used in every round."
        ),
        *figure_blocks(
            run.figures,
            (
                f"{protocol}_curves",
                "Dice, lesion F1, FPV and FNV at every round, with confidence bands (bootstrap over patients). F1 is "
                "taken from the sums of found, missed and false lesions over studies with lesions.",
                "Dice, lesion F1, false positive and false negative volume over the rounds",
                "curves that do not rise: interaction that the model does not listen to; a false positive volume that "
                "grows from round to round.",
            ),
        ),
        _area_table(protocol, results.summary),
        safety_table(protocol, results.safety, at="round", step="round {}", all_steps="all rounds"),
        _sizes_table(protocol, results.sizes),
        _lesion_free_table(protocol, results.lesion_free),
        *_pictures(run, protocol, results),
    ]
    return Section(protocol, _TITLES[protocol], [block for block in blocks if block])


def _area_table(protocol: str, summary: pd.DataFrame) -> Table:
    last = summary["round"].max()
    rows = []
    for measure, at, what in (("value", 0, "round 0"), ("value", last, f"round {last}"), ("area", last, "area (AUC)")):
        chosen = summary[(summary["measure"] == measure) & (summary["round"] == at)]
        for row in chosen[chosen["group"].isin(["overall", "tracer", "tracer x centre", "weighted"])].to_dict(
            "records"
        ):
            scores = [
                estimate(row[f"{name}_mean"], row[f"{name}_low"], row[f"{name}_high"], digits)
                for name, _, digits in COLUMNS
            ]
            rows.append([_group(row), what, row["studies"], row["patients"], *scores])
    columns = [("Group", "text"), ("At", "text"), ("Studies", "number"), ("Patients", "number")]
    return Table(
        f"{protocol}-areas",
        f"Scores without interaction and in the last round, and areas over the {last + 1} rounds (trapezoid; at most "
        f"{last} for Dice and F1), with confidence intervals.",
        columns + [(heading, "number") for _, heading, _ in COLUMNS],
        rows,
        note="Dice and FNV: studies with lesions. Dice, empty counts: studies without lesions count 1 if nothing is "
        "predicted, else 0. Weighted: mean over tracer and centre, which all weigh the same (autoPET V).",
    )


def _group(row: Mapping) -> str:
    return "weighted" if row["group"] == "weighted" else group_name(row)


def _sizes_table(protocol: str, sizes: pd.DataFrame) -> Table:
    ends = sizes[(sizes["group"] == "overall") & sizes["round"].isin([sizes["round"].min(), sizes["round"].max()])]
    rows = [
        [
            row["size"],
            f"round {row['round']}",
            row["lesions"],
            row["found"],
            number(row["sensitivity"], 3),
            number(row["median_iou"], 3),
        ]
        for row in ends.to_dict("records")
    ]
    columns = [("Lesion size", "text"), ("At", "text"), ("Lesions", "number"), ("Found", "number")]
    return Table(
        f"{protocol}-sizes",
        "True lesions by size, found if their IoU with a predicted lesion is at least 0.1, and the median of that IoU, "
        "without interaction and in the last round.",
        [*columns, ("Share", "number"), ("Median IoU", "number")],
        rows,
        empty="no study has lesions",
    )


def _lesion_free_table(protocol: str, lesion_free: pd.DataFrame) -> Table | None:
    first = lesion_free[(lesion_free["group"] == "overall") & (lesion_free["round"] == 0)]
    if first.empty:
        return None
    rows = [
        [row["studies"], row["empty"], number(row["filled_ml_mean"]), number(row["filled_ml_largest"])]
        for row in first.to_dict("records")
    ]
    columns = [
        ("Studies", "number"),
        ("Stay empty", "number"),
        ("Mean of others, ml", "number"),
        ("Largest, ml", "number"),
    ]
    caption = (
        "Studies without lesions: how many stay empty, and the volume predicted in the others. None gets a scribble."
    )
    return Table(f"{protocol}-lesion-free", caption, columns, rows)


def _pictures(run: RunResults, protocol: str, results: RoundResults) -> list[Figure]:
    last = results.table[results.table["round"] == results.table["round"].max()]
    worst = last[last["dice"].notna()].sort_values(["dice", "slug"], kind="stable")["slug"]
    return [
        Figure(
            f"{protocol}-of-{slug}".lower(),
            f"{run.names[slug]}: its rounds. Orange outline: truth. Green: predicted component that touches the truth. "
            "Filled orange: missed lesion. Blue: false lesion. Plus: tumour scribble; cross: background scribble.",
            Path(results.pictures[slug]).read_bytes(),
            f"Projections of the PET with the mask of each round of {run.names[slug]}",
        )
        for slug in worst
        if slug in results.pictures
    ][:SHOWN_STUDIES]
