"""The worklist: worst first, for reasons that it tells."""

from math import nan

import pandas as pd
import pytest
from jobs import run_script

from clickpet.evaluate.tables import read_table, write_table
from clickpet.evaluate.worklist import rank_worklist
from clickpet.files import read_json, write_json, write_text


def studies(*names):
    return [{"case": name.upper(), "slug": name, "tracer": "fdg", "split": "test"} for name in names]


def ranked(names, *, disagreement=None, scores=None, findings=()):
    """{slug: row} in the order of the worklist; `findings` as (slug, severity)."""
    table = rank_worklist(
        studies(*names),
        predictions={name: {"disagreement": (disagreement or {}).get(name)} for name in names},
        scores=scores or {},
        findings=[{"slug": slug, "severity": severity} for slug, severity in findings],
    )
    assert table["rank"].tolist() == list(range(1, len(names) + 1))
    return {row["slug"]: row for row in table.to_dict("records")}


def score(dice, fpv_ml=0.0, fnv_ml=0.0):
    return {"dice": dice, "fpv_ml": fpv_ml, "fnv_ml": fnv_ml}


def test_a_hard_finding_comes_before_the_worst_score():
    table = ranked("ab", scores={"a": score(0.0), "b": score(1.0)}, findings=[("b", "hard")])
    assert list(table) == ["b", "a"]
    assert table["b"]["why"] == "1 hard finding, Dice 1.00"


def test_a_low_dice_comes_first():
    table = ranked("abc", scores={"a": score(0.9), "b": score(0.2, 1.25, 3.5), "c": score(0.5)})
    assert list(table) == ["b", "c", "a"]
    assert table["b"]["priority"] == pytest.approx(0.8)
    assert table["b"]["why"] == "Dice 0.20, 3.5 ml missed, 1.2 ml false"


def test_without_true_lesions_a_predicted_one_is_all_wrong_and_none_is_all_right():
    table = ranked("abc", scores={"a": score(0.4), "b": score(nan, 0.5, nan), "c": score(nan, 0.0, nan)})
    assert list(table) == ["b", "a", "c"]
    assert [row["priority"] for row in table.values()] == pytest.approx([1, 0.6, 0])
    assert table["b"]["why"] == "0.5 ml false"
    assert table["c"]["why"] == ""


def test_disagreement_ranks_what_has_no_truth_and_raises_what_has_one():
    table = ranked("abc", disagreement={"a": 0.1, "b": 0.3, "c": 0.45}, scores={"a": score(0.5), "c": score(0.95)})
    assert list(table) == ["c", "b", "a"]
    assert [row["priority"] for row in table.values()] == pytest.approx([0.9, 0.6, 0.5])
    assert table["b"]["why"] == "folds disagree by 0.30"


def test_soft_findings_decide_between_equals_and_then_the_name():
    table = ranked("dcba", findings=[("c", "soft"), ("c", "soft"), ("d", "soft")])
    assert list(table) == ["c", "d", "a", "b"]
    assert table["c"]["why"] == "2 soft findings"
    assert (table["c"]["hard"], table["c"]["soft"]) == (0, 2)


def test_no_studies_are_no_rows():
    assert ranked("") == {}


def test_the_rule_reads_a_run_with_and_without_scores(tmp_path):
    write_text(tmp_path / "cohort.tsv", "case\tslug\ttracer\tsplit\n001\ta\tfdg\ttest\n=b\tb\t\tpredict\n")
    write_text(tmp_path / "quality.tsv", "severity\tcode\tcase\tslug\twhat\tvalue\tmend\nsoft\taxes\tb\tb\todd\t\tno\n")
    for slug, spread in (("a", None), ("b", 0.2)):
        (tmp_path / slug).mkdir()
        write_json(tmp_path / slug / "prediction.json", {"disagreement": spread})
    write_table(tmp_path / "scores.tsv", pd.DataFrame([{"slug": "a", **score(0.75)}]))
    files = {
        "cohort": tmp_path / "cohort.tsv",
        "quality": [tmp_path / "quality.tsv"],
        "predictions": [tmp_path / "a" / "prediction.json", tmp_path / "b" / "prediction.json"],
    }
    output = {"worklist": tmp_path / "worklist.tsv", "settings": tmp_path / "worklist.json"}
    options = {
        "output": output,
        "log": tmp_path / "log",
        "params": {"settings": {"cohort": "cases.tsv", "config": {"predict": {"tile_step": 0.5}}}},
    }
    run_script("rank_worklist", input={**files, "scores": tmp_path / "scores.tsv"}, **options)
    table = read_table(output["worklist"])
    assert table["case"].tolist() == ["=b", "001"]
    assert table["priority"].tolist() == [0.4, 0.25]
    assert table["why"].tolist() == ["1 soft finding, folds disagree by 0.20", "Dice 0.75"]
    assert read_json(output["settings"]) == options["params"]["settings"]
    run_script("rank_worklist", input={**files, "scores": []}, **options)
    assert read_table(output["worklist"])["dice"].isna().all()
