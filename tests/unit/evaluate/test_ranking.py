"""The challenge's averages and ranks."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.errors import InputError
from clickpet.evaluate.interactive import METRICS
from clickpet.evaluate.ranking import WEIGHTS, challenge_means, compare_methods, read_scores
from clickpet.evaluate.tables import read_table, write_table

#: The published final ranking of autoPET IV, task 1: Dice, FPV, FNV at 10 clicks, areas of Dice, FPV, FNV.
PUBLISHED = {
    "BIRTH": (0.7412, 1.29, 2.17, 7.24, 13.7, 35.4),
    "LesionLocator": (0.7236, 2.48, 1.75, 7.06, 26.7, 25.7),
    "the paper": (0.7308, 2.66, 4.22, 6.99, 24.9, 64.0),
    "baseline": (0.6349, 10.84, 3.07, 5.84, 85.3, 134.3),
}


def study(slug, tracer, centre, dice, fpv_ml=0.0, fnv_ml=0.0):
    return {"slug": slug, "tracer": tracer, "centre": centre, "dice": dice, "fpv_ml": fpv_ml, "fnv_ml": fnv_ml}


def curve(slug, tracer, centre, last, areas):
    """Eleven points with these last values and these areas: all others on one level."""
    rows = []
    for k in range(11):
        levels = [(area - value / 2) / 9.5 if k < 10 else value for value, area in zip(last, areas, strict=True)]
        rows.append({**study(slug, tracer, centre, *levels), "clicks": k})
    return rows


def test_means_are_taken_within_cells_first():
    table = pd.DataFrame(
        [
            study("a", "fdg", "UKT", 0.9, 1), study("b", "fdg", "UKT", 0.7, 2), study("c", "fdg", "UKT", np.nan, 6),
            study("d", "fdg", "LMU", 0.5, 4), study("e", "psma", "UKT", 0.1, 0), study("f", "psma", "LMU", np.nan, 8),
        ]
    )  # fmt: skip
    means = challenge_means(table)
    assert list(means) == ["dice", "fpv_ml", "fnv_ml"]
    assert means["dice"] == pytest.approx((0.8 + 0.5 + 0.1) / 3)
    assert means["fpv_ml"] == pytest.approx((3 + 4 + 0 + 8) / 4)


def test_studies_without_a_centre_make_one_cell_per_tracer():
    table = pd.DataFrame([study("a", "fdg", "", 0.2), study("b", "fdg", None, 0.4), study("c", "psma", "", 1.0)])
    assert challenge_means(table)["dice"] == pytest.approx((0.3 + 1.0) / 2)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["fdg", "psma"]), st.sampled_from(["LMU", "UKT", ""]), st.floats(0, 1)), min_size=1
    )
)
def test_means_against_a_loop(studies):
    table = pd.DataFrame([study(f"s{number:03d}", *row) for number, row in enumerate(studies)])
    cells = {}
    for tracer, centre, dice in studies:
        cells.setdefault((tracer, centre), []).append(dice)
    expected = np.mean([np.mean(values) for values in cells.values()])
    assert challenge_means(table)["dice"] == pytest.approx(expected)


def published_tables():
    tables = {}
    for name, (dice, fpv, fnv, auc_dice, auc_fpv, auc_fnv) in PUBLISHED.items():
        rows = []
        for number, (tracer, centre) in enumerate((t, c) for t in ("fdg", "psma") for c in ("LMU", "UKT")):
            rows += curve(f"s{number}", tracer, centre, (dice, fpv, fnv), (auc_dice, auc_fpv, auc_fnv))
        tables[name] = pd.DataFrame(rows)
    return tables


def test_the_published_means_and_ranks_come_out():
    table = compare_methods(published_tables()).set_index("method")
    for name, values in PUBLISHED.items():
        assert table.loc[name, list(WEIGHTS)].tolist() == pytest.approx(values)
    assert table.index.tolist() == ["BIRTH", "LesionLocator", "the paper", "baseline"]
    assert table["place"].tolist() == [1, 2, 3, 4]
    ranks = table.loc["LesionLocator", [f"{metric}_rank" for metric in WEIGHTS]].tolist()
    assert ranks == [3, 2, 1, 2, 3, 1]
    assert table.loc["LesionLocator", "rank_score"] == 0.25 * 3 + 0.125 * (2 + 1) + 0.25 * 2 + 0.125 * (3 + 1)
    assert table.loc["BIRTH", "rank_score"] == 0.25 + 0.125 * (1 + 2) + 0.25 + 0.125 * (1 + 2)


def test_weights_sum_to_one():
    assert sum(weight for weight, _ in WEIGHTS.values()) == 1


def test_equal_methods_share_ranks_and_place():
    tables = published_tables()
    tables["again"] = tables["BIRTH"].sample(frac=1, random_state=0)
    table = compare_methods(tables)
    assert table["place"].tolist() == [1, 1, 3, 4, 5]
    assert table["method"].tolist()[:2] == ["BIRTH", "again"]
    assert table["dice_rank"].tolist() == [1.5, 1.5, 4, 3, 5]


def test_score_tables_are_ranked_without_areas():
    good = pd.DataFrame([study("a", "fdg", "UKT", 0.9, 2, 1), study("b", "fdg", "UKT", 0.8, 2, 1)])
    bad = good.assign(dice=[0.1, 0.2], fpv_ml=[1.0, 1.0])
    table = compare_methods({"bad": bad, "good": good})
    assert table["method"].tolist() == ["good", "bad"]
    assert table["rank_score"].tolist() == [0.5 * 1 + 0.25 * 2 + 0.25 * 1.5, 0.5 * 2 + 0.25 * 1 + 0.25 * 1.5]
    assert not any(name.startswith("auc") for name in table.columns)


def test_a_method_without_a_value_comes_last():
    good = pd.DataFrame([study("a", "fdg", "UKT", 0.1)])
    table = compare_methods({"none": good.assign(dice=math.nan), "some": good})
    assert table.set_index("method")["dice_rank"].to_dict() == {"some": 1, "none": 2}


def test_one_method_is_first():
    assert compare_methods({"only": pd.DataFrame([study("a", "fdg", "UKT", 0.1)])})["place"].tolist() == [1]


def test_methods_must_be_comparable():
    one = pd.DataFrame([study("a", "fdg", "UKT", 0.1)])
    with pytest.raises(InputError, match="no method"):
        compare_methods({})
    with pytest.raises(InputError, match=r"1 differ, e\.g\. b"):
        compare_methods({"x": one, "y": pd.concat([one, one.assign(slug="b")])})
    with pytest.raises(InputError, match="only one of x and y"):
        compare_methods({"x": one, "y": one.assign(clicks=0)})
    two = pd.concat([one.assign(clicks=k) for k in range(2)])
    with pytest.raises(InputError, match="numbers of clicks"):
        compare_methods({"x": two, "y": two.assign(clicks=two["clicks"] * 2)})


def test_the_command_ranks_tables_of_files(tmp_path):
    tables = published_tables()
    for name, table in tables.items():
        write_table(tmp_path / f"{name}.tsv", table)
    methods = [f"{name}={tmp_path / f'{name}.tsv'}" for name in tables]
    done = CliRunner().invoke(app, ["rank", *methods, "--out", str(tmp_path / "ranking.tsv")])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[1].split()[:2] == ["1", "BIRTH"]
    ranking = read_table(tmp_path / "ranking.tsv")
    assert ranking["method"].tolist() == ["BIRTH", "LesionLocator", "the paper", "baseline"]
    assert all(metric in ranking for metric in METRICS)


def test_of_a_folder_of_results_the_scores_over_clicks_are_taken(tmp_path):
    table = published_tables()["baseline"]
    last = table[table["clicks"] == 10].drop(columns="clicks")
    write_table(tmp_path / "scores.tsv", last)
    assert "clicks" not in read_scores(tmp_path)
    write_table(tmp_path / "interactive.tsv", table)
    assert read_scores(tmp_path)["clicks"].max() == 10


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["scores.tsv"], "is no method"),
        (["a={tmp}/absent.tsv"], "no such table"),
        (["a={tmp}"], "no such table"),
        (["a={tmp}/t.tsv", "a={tmp}/t.tsv"], "given twice"),
        (["a={tmp}/t.tsv"], "lacks the column centre"),
        (["a={tmp}/w.tsv"], "no numbers in the column dice"),
        (["a={tmp}/b.tsv"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(tmp_path, methods, message):
    (tmp_path / "t.tsv").write_text("slug\ttracer\tdice\na\tfdg\t0.5\n")
    (tmp_path / "w.tsv").write_text("slug\ttracer\tcentre\tdice\tfpv_ml\tfnv_ml\na\tfdg\tUKT\thigh\t0\t0\n")
    (tmp_path / "b.tsv").write_bytes(b"\xff\xfe\x00\x01")
    done = CliRunner().invoke(app, ["rank", *(method.format(tmp=tmp_path) for method in methods)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert message in done.output
