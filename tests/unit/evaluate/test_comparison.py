"""Comparison of runs: pairs, signs, intervals, warnings, and the page, table and LaTeX of them."""

import numpy as np
import pandas as pd
import pytest
from results_maker import make_results

from clickpet.errors import InputError
from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.comparison import (
    Run,
    differing_truths,
    latex_differences,
    paired_differences,
    per_study,
    rank_runs,
    read_run,
    run_means,
)
from clickpet.evaluate.tables import read_table
from clickpet.report.comparison_page import write_comparison

BOOTSTRAP = {"repeats": 100, "confidence": 0.95, "seed": 1}


def scores(dice, *, fpv=None, patients=None, tracers=None, slugs=None, volumes=None):
    count = len(dice)
    return pd.DataFrame(
        {
            "case": slugs or [f"case {n}" for n in range(count)],
            "slug": slugs or [f"s{n}" for n in range(count)],
            "tracer": tracers or ["fdg"] * count,
            "patient": patients or [f"p{n}" for n in range(count)],
            "centre": [""] * count,
            "dice": dice,
            "fpv_ml": fpv or [0.0] * count,
            "fnv_ml": [0.0] * count,
            "truth_volume_ml": volumes or [1.0] * count,
        }
    )


def row(table, metric, group="overall", level="all"):
    rows = table[(table["metric"] == metric) & (table["group"] == group) & (table["level"] == level)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_differences_are_run_minus_reference_over_pairs():
    base = Run("full", scores([0.5, 0.6, np.nan, 0.8], fpv=[1.0, 2.0, 3.0, 0.0]))
    other = Run("ablated", scores([0.6, 0.5, np.nan, 0.8], fpv=[0.0, 2.0, 5.0, 0.0]))
    table = paired_differences([base, other], **BOOTSTRAP)
    dice = row(table, "dice")
    assert (dice["studies"], dice["patients"]) == (3, 3)
    assert dice["difference"] == pytest.approx(0.0, abs=1e-12)
    assert (dice["better"], dice["equal"], dice["worse"]) == (1, 1, 1)
    assert dice["reference_mean"] == pytest.approx((0.5 + 0.6 + 0.8) / 3)
    fpv = row(table, "fpv_ml")
    assert fpv["difference"] == pytest.approx((-1 + 0 + 2 + 0) / 4)
    assert (fpv["better"], fpv["equal"], fpv["worse"]) == (1, 2, 1)  # less volume is better
    assert "auc_dice" not in set(table["metric"])


def test_intervals_are_over_patients_not_studies():
    patients = ["a", "a", "a", "b", "b", "c"]
    base = Run("full", scores([0.5] * 6, patients=patients))
    other = Run("ablated", scores([0.1, 0.2, 0.3, 0.6, 0.7, 0.5], patients=patients))
    found = row(paired_differences([base, other], **BOOTSTRAP), "dice")
    difference = np.array([-0.4, -0.3, -0.2, 0.1, 0.2, 0.0])
    assert tuple(found[["difference", "low", "high"]]) == pytest.approx(
        bootstrap_mean(difference, patients, **BOOTSTRAP)
    )
    assert found["patients"] == 3


def test_only_studies_in_both_runs_are_paired():
    base = Run("full", scores([0.5, 0.6], slugs=["a", "b"]))
    other = Run("ablated", scores([0.9, 0.1], slugs=["b", "c"]))
    found = row(paired_differences([base, other], **BOOTSTRAP), "dice")
    assert (found["studies"], found["difference"]) == (1, pytest.approx(0.3))
    assert np.isnan(found["low"])
    wide = per_study([base, other]).set_index("slug")
    assert wide.loc["b", ["dice|full", "dice|ablated"]].tolist() == [0.6, 0.9]
    assert np.isnan(wide.loc["a", "dice|ablated"])
    assert wide.loc["c", "dice|ablated"] == 0.1


def test_tracers_are_told_apart():
    tracers = ["fdg", "fdg", "psma"]
    base = Run("full", scores([0.5, 0.5, 0.5], tracers=tracers))
    other = Run("ablated", scores([0.6, 0.6, 0.1], tracers=tracers))
    table = paired_differences([base, other], **BOOTSTRAP)
    assert row(table, "dice", "tracer", "fdg")["difference"] == pytest.approx(0.1)
    assert row(table, "dice", "tracer", "psma")["difference"] == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([Run("a", scores([0.5]))], "two or more"),
        ([Run("a", scores([0.5])), Run("a", scores([0.5]))], "one name"),
        ([Run("a", scores([0.5])), Run("b", scores([0.5], slugs=["other"]))], "share no study"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs, message):
    with pytest.raises(InputError, match=message):
        paired_differences(runs, **BOOTSTRAP)


def test_an_empty_table_of_scores_is_refused(tmp_path):
    (tmp_path / "scores.tsv").write_text("slug\tdice\n")
    with pytest.raises(InputError, match="holds no study"):
        read_run("a", tmp_path / "scores.tsv")


def test_another_truth_is_noticed():
    base = Run("a", scores([0.5, 0.5], volumes=[1.0, 2.0]))
    other = Run("b", scores([0.5, 0.5], volumes=[1.0, 2.5]))
    assert differing_truths([base, other]) == {"b": 1}
    assert differing_truths([base, base]) == {"a": 0}


def test_ranking_needs_the_same_studies(capsys):
    base, other = Run("a", scores([0.5, 0.6])), Run("b", scores([0.6, 0.7]))
    assert rank_runs([base, other])["method"].tolist() == ["b", "a"]
    assert rank_runs([base, Run("b", scores([0.6]))]) is None
    assert "not scored on the same studies" in capsys.readouterr().out


def test_latex_has_the_reference_then_the_differences():
    runs = [Run("full_run", scores([0.5, 0.7])), Run("no 100% & more", scores([0.6, 0.9]))]
    text = latex_differences(run_means(runs, **BOOTSTRAP), paired_differences(runs, **BOOTSTRAP))
    lines = text.splitlines()
    assert lines[0].startswith(r"\begin{tabular}")
    assert r"\toprule" in lines
    assert next(line for line in lines if r"full\_run" in line).split(" & ")[2] == "0.600 [0.500, 0.700]"
    assert next(line for line in lines if r"no 100\% \& more" in line).split(" & ")[-3] == "0.150 [0.100, 0.200]"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    runs = [
        make_results(folder / "full"),
        make_results(folder / "ablated", seed=3, quality=0.6),
        make_results(folder / "short", seed=4, studies=9, interactive=False),
    ]
    return folder, runs


def write(folder, runs, names, interactive):
    output = {"page": folder / "c.html", "table": folder / "c.tsv", "latex": folder / "c.tex"}
    tables = [run.path("results") for run in runs]
    read = [
        read_run(name, table / "scores.tsv", table / "interactive.tsv" if interactive else None)
        for name, table in zip(names, tables, strict=True)
    ]
    write_comparison(read, **output, **BOOTSTRAP)
    return output


def test_page_table_and_latex(compared):
    folder, (full, ablated, _) = compared
    output = write(folder, [full, ablated], ["full", "no <organs>"], True)
    table = read_table(output["table"])
    values = [read_table(run.path("results", "scores.tsv")).set_index("slug")["dice"] for run in (full, ablated)]
    dice = row(table, "dice")
    assert dice["difference"] == pytest.approx((values[1] - values[0]).mean(), abs=1e-5)
    assert set(table["metric"]) == {"dice", "fpv_ml", "fnv_ml", "auc_dice", "auc_fpv_ml", "auc_fnv_ml"}
    html = output["page"].read_text()
    assert f"{dice['difference']:.3f}".replace("-", "\N{MINUS SIGN}") in html
    assert "no &lt;organs&gt;" in html
    assert "<organs>" not in html
    assert "Scores of each run over the number of clicks" in html
    assert "do not have the same studies" not in html
    assert r"no <organs>" in output["latex"].read_text()
    before = html
    write(folder, [full, ablated], ["full", "no <organs>"], True)
    assert output["page"].read_text() == before


def test_runs_with_other_studies_and_without_clicks_are_compared_with_a_warning(compared):
    folder, (full, _, short) = compared
    html = write(folder, [full, short], ["full", "short"], False)["page"].read_text()
    assert "do not have the same studies: 18 in both, 6 only in the reference, 0 only in “short”" in html
    assert "None of the runs has an interactive evaluation" in html
    assert "needs runs that were scored on the same studies" in html
