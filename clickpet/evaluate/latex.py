"""A table of means and intervals as LaTeX text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clickpet.fields import without_controls

_LATEX_NAMES = {
    "dice": "Dice", "fpv_ml": "FPV (ml)", "fnv_ml": "FNV (ml)", "sensitivity": "Sensitivity", "precision": "Precision",
    "f1": "F1", "fdg": "FDG", "psma": "PSMA", "auc_dice": "AUC-Dice", "auc_fpv_ml": "AUC-FPV", "auc_fnv_ml": "AUC-FNV",
}  # fmt: skip
_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    }
)  # fmt: skip


def latex_table(summary: pd.DataFrame, *, digits: int = 2) -> str:
    """A summary as a LaTeX table (package booktabs): a line per group, means with their intervals in brackets.

    Columns X_mean, X_low, X_high become one; others stay as they are. Groups are set apart by rules.
    """
    metrics = [name.removesuffix("_mean") for name in summary.columns if name.endswith("_mean")]
    parts = {f"{metric}_{part}" for metric in metrics for part in ("mean", "low", "high")}
    names = [name for name in summary.columns if name not in parts]
    heads = [_latex(name.capitalize()) for name in names] + [_latex(_LATEX_NAMES.get(name, name)) for name in metrics]
    lines = [
        r"\begin{tabular}{"
        + "".join("r" if _is_number(summary[name]) else "l" for name in names)
        + "r" * len(metrics)
        + "}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    group = None
    for row in summary.to_dict("records"):
        if group is not None and row.get("group") != group:
            lines.append(r"\midrule")
        group = row.get("group")
        cells = [_latex(_plain(row[name])) for name in names]
        cells += [
            _interval(*(row[f"{metric}_{part}"] for part in ("mean", "low", "high")), digits) for metric in metrics
        ]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return "--" if np.isnan(value) else f"{value:g}"
    return " ".join(_LATEX_NAMES.get(word, word) for word in str(value).split(" "))


def _latex(text: str) -> str:
    """`text` as it is to be read; a bracket or star at its start would be an argument of the line end before."""
    escaped = without_controls(text).translate(_LATEX_ESCAPES)
    return "{}" + escaped if escaped.startswith(("[", "*")) else escaped


def _interval(mean: float, low: float, high: float, digits: int) -> str:
    if np.isnan(mean):
        return "--"
    text = f"{mean:.{digits}f}"
    return text if np.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"
