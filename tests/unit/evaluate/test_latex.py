"""LaTeX tables: intervals in brackets, and names that LaTeX would read as commands."""

import numpy as np
import pandas as pd
import pytest

from clickpet.evaluate.latex import latex_table


def test_latex_table():
    summary = pd.DataFrame(
        {
            "group": ["overall", "tracer", "tracer", "centre"], "level": ["all", "fdg", "psma", "A&B_1"],
            "studies": [10, 4, 6, 1], "dice_mean": [0.7123, 0.5, np.nan, 0.4], "dice_low": [0.6, 0.4, np.nan, np.nan],
            "dice_high": [0.8, 0.6, np.nan, np.nan],
        }
    )  # fmt: skip
    assert latex_table(summary).splitlines() == [
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r"Group & Level & Studies & Dice \\",
        r"\midrule",
        r"overall & all & 10 & 0.71 [0.60, 0.80] \\",
        r"\midrule",
        r"tracer & FDG & 4 & 0.50 [0.40, 0.60] \\",
        r"tracer & PSMA & 6 & -- \\",
        r"\midrule",
        r"centre & A\&B\_1 & 1 & 0.40 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("$$", r"\$\$"), ("a_b", r"a\_b"), ("50%", r"50\%"), ("<&>", r"<\&>"), ("#1", r"\#1"),
        ("\\x", r"\textbackslash{}x"), ("{a}^~", r"\{a\}\textasciicircum{}\textasciitilde{}"), ("a\nb", "a b"),
        ("[x]", "{}[x]"), ("*", "{}*"), ("Zürich", "Zürich"),
    ],
)  # fmt: skip
def test_latex_cells(name, expected):
    table = pd.DataFrame({"level": [name], "dice_mean": [0.5], "dice_low": [0.4], "dice_high": [0.6]})
    assert latex_table(table).splitlines()[4] == rf"{expected} & 0.50 [0.40, 0.60] \\"
