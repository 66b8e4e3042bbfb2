"""A table of the safety of interaction: how masks answered what was marked, and how often Dice fell."""

from __future__ import annotations

import pandas as pd

from clickpet.report.page import Table, number

_COLUMNS = [
    ("At", "text"),
    ("Studies with interaction", "number"),
    ("Tumour points inside", "number"),
    ("Background points outside", "number"),
    ("Changed over 5 cm away, ml", "number"),
    ("Dice fell", "number"),
    ("mean fall", "number"),
    ("largest fall", "number"),
]


def safety_table(name: str, safety: pd.DataFrame, *, at: str, step: str, all_steps: str) -> Table:
    """The table of an interactive evaluation, all studies together.

    name : of the protocol, for the table's address;  safety : of `clickpet.evaluate.rounds_tables.safety_table`;
    at : its column of steps;  step, all_steps : what a step ("round {}") and all of them together are called.
    """
    rows = [
        [
            all_steps if row[at] == "all" else step.format(row[at]),
            row["studies"],
            number(row["tumor_inside"], 3),
            number(row["background_outside"], 3),
            number(row["far_changed_ml"]),
            row["falls"],
            number(row["mean_fall"], 3),
            number(row["largest_fall"], 3),
        ]
        for row in safety[safety["group"] == "overall"].to_dict("records")
    ]
    return Table(
        f"{name}-safety",
        "Safety of interaction: whether the mask holds what was marked as tumour and leaves out what was marked as "
        "background (shares of all points so far), what changed far from the interaction that was new, and how often, "
        "and by how much, Dice fell.",
        _COLUMNS,
        rows,
        empty="no study had an interaction",
    )
