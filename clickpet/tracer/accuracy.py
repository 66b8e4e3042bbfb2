"""Accuracy of the tracer discriminator: confusion matrix, Wilson interval, accuracy per fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def accuracy_report(rows: Sequence[dict]) -> dict:
    """How often the discriminator is right.

    rows : dicts with "case", "tracer" (true), "tracer_found", "source" and "fold" (None for the whole ensemble).
    Returns "n", "correct", "accuracy" with its 95 % Wilson interval ("accuracy_low", "accuracy_high"), "confusion"
    (true tracer -> found tracer -> number), "wrong" (cases) and "folds" (n, correct, accuracy; "ensemble" for cases
    that the whole ensemble voted on). Rows whose tracer was not found by the network are only counted, in
    "not_asked".
    """
    asked = [row for row in rows if row["source"] == "found"]
    correct = sum(row["tracer"] == row["tracer_found"] for row in asked)
    low, high = wilson_interval(correct, len(asked))
    folds = {}
    for fold in sorted({_fold_name(row) for row in asked}, key=lambda name: (len(name), name)):
        of_fold = [row["tracer"] == row["tracer_found"] for row in asked if _fold_name(row) == fold]
        folds[fold] = {"n": len(of_fold), "correct": sum(of_fold), "accuracy": sum(of_fold) / len(of_fold)}
    return {
        "n": len(asked),
        "not_asked": len(rows) - len(asked),
        "correct": correct,
        "accuracy": correct / len(asked) if asked else None,
        "accuracy_low": low,
        "accuracy_high": high,
        "confusion": {
            true: {
                found: sum(row["tracer"] == true and row["tracer_found"] == found for row in asked)
                for found in ("fdg", "psma")
            }
            for true in ("fdg", "psma")
        },
        "wrong": [row["case"] for row in asked if row["tracer"] != row["tracer_found"]],
        "folds": folds,
    }


def _fold_name(row: dict) -> str:
    return "ensemble" if row["fold"] is None else str(row["fold"])


def wilson_interval(correct: int, n: int) -> tuple[float | None, float | None]:
    """95 % confidence interval of a share by Wilson's score; (None, None) for n = 0."""
    if n == 0:
        return None, None
    z = 1.959963984540054
    share = correct / n
    middle = share + z * z / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float((middle - reach) / (1 + z * z / n))), min(1.0, float((middle + reach) / (1 + z * z / n)))
