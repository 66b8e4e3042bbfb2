"""Worklist of a run: its studies in the order in which a person should look at them, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: The standard deviation of probabilities over the folds is at most this.
MOST_DISAGREEMENT = 0.5
_SCORES = ("dice", "fnv_ml", "fpv_ml")


def rank_worklist(
    studies: Sequence[Mapping[str, str]],
    *,
    predictions: Mapping[str, Mapping],
    scores: Mapping[str, Mapping],
    findings: Sequence[Mapping[str, str]],
) -> pd.DataFrame:
    """The studies worst first: hard findings, then `priority`, then the number of soft findings, then the name.

    studies : rows with case, slug, tracer, split;  predictions : {slug: prediction.json}, whose "disagreement" is the
    mean over the lesion voxels of the standard deviation over the folds (None where one fold predicted);  scores :
    {slug: dice, fnv_ml, fpv_ml} of those with a truth;  findings : rows of the quality control with slug, severity.

    `priority` is from 0 to 1, the larger of two doubts: 1 - Dice (without true lesions 1 where a lesion was predicted,
    else 0) and the disagreement over MOST_DISAGREEMENT. Columns: rank (1, 2, ...), case, slug, tracer, split, priority,
    why (what it is for, in words), dice, fnv_ml, fpv_ml, disagreement (NaN where unknown), hard, soft (findings).
    """
    import pandas as pd

    counts = Counter((found["slug"], found["severity"]) for found in findings)
    rows = []
    for study in studies:
        slug = study["slug"]
        score = {name: float(scores.get(slug, {}).get(name, nan)) for name in _SCORES}
        disagreement = predictions[slug]["disagreement"]
        row = {
            **{name: study[name] for name in ("case", "slug", "tracer", "split")},
            "priority": max(_score_doubt(score), (disagreement or 0.0) / MOST_DISAGREEMENT),
            **score,
            "disagreement": nan if disagreement is None else disagreement,
            "hard": counts[slug, "hard"],
            "soft": counts[slug, "soft"],
        }
        rows.append({**row, "why": _reasons(row)})
    rows.sort(key=lambda row: (row["hard"] == 0, -row["priority"], -row["soft"], row["case"]))
    columns = ["rank", "case", "slug", "tracer", "split", "priority", "why", *_SCORES, "disagreement", "hard", "soft"]
    return pd.DataFrame([{**row, "rank": rank} for rank, row in enumerate(rows, start=1)], columns=columns)


def _score_doubt(score: Mapping[str, float]) -> float:
    if isfinite(score["dice"]):
        return 1 - score["dice"]
    return float(isfinite(score["fpv_ml"]) and score["fpv_ml"] > 0)


def _reasons(row: Mapping) -> str:
    """What speaks for a look at a study; empty where nothing does."""
    reasons = [f"{row[kind]} {kind} finding{'s' if row[kind] > 1 else ''}" for kind in ("hard", "soft") if row[kind]]
    if isfinite(row["dice"]):
        reasons.append(f"Dice {row['dice']:.2f}")
    reasons += [
        f"{row[name]:.1f} ml {what}"
        for name, what in (("fnv_ml", "missed"), ("fpv_ml", "false"))
        if isfinite(row[name]) and row[name] > 0
    ]
    if row["disagreement"] > 0:
        reasons.append(f"folds disagree by {row['disagreement']:.2f}")
    return ", ".join(reasons)
