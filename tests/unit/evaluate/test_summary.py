"""Tables over studies: rows, groups, intervals, TSV and LaTeX."""

import json

import numpy as np
import pandas as pd
import pytest
from jobs import run_script
from score_records import records

from clickpet.errors import InputError
from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.interactive import interactive_areas, interactive_table
from clickpet.evaluate.summary import METRICS, score_table, summarise, summarise_interactive
from clickpet.evaluate.tables import read_table

OPTIONS = {"repeats": 200, "confidence": 0.9, "seed": 5}


def test_score_table():
    table = score_table(reversed(records()))
    assert table["slug"].tolist() == [f"case_{number:02d}" for number in range(24)]
    assert np.isnan(table["dice"][3])
    assert table["dice"].dtype == float
    assert table["patient"][1] == "001"
    assert table["truth_lesions"].tolist()[:4] == [3, 3, 3, 0]


def test_a_table_where_no_study_has_a_dice():
    table = score_table([{**record, "dice": None} for record in records(4)])
    assert table["dice"].dtype == float
    assert np.isnan(summarise(table, **OPTIONS)["dice_mean"]).all()


def test_a_case_is_scored_once():
    with pytest.raises(InputError, match="case_00: is scored twice"):
        score_table([*records(2), *records(1)])


def test_no_scores():
    table = score_table([])
    assert len(table) == len(summarise(table, **OPTIONS)) == 0
    assert "dice_mean" in summarise(table, **OPTIONS)


def test_groups_and_their_counts():
    table = score_table(records())
    summary = summarise(table, **OPTIONS)
    expected = [("overall", "all", table.index == table.index)]
    expected += [("tracer", level, table["tracer"] == level) for level in ("fdg", "psma")]
    expected += [("centre", level, table["centre"] == level) for level in ("LMU", "UKT")]
    expected += [
        ("tracer x centre", f"{tracer} {centre}", (table["tracer"] == tracer) & (table["centre"] == centre))
        for tracer in ("fdg", "psma")
        for centre in ("LMU", "UKT")
    ]
    expected += [("fold", level, table["fold"] == level) for level in "0123"]
    expected += [("split", level, table["split"] == level) for level in ("test", "train")]
    expected += [
        ("tracer x split", f"{tracer} {split}", (table["tracer"] == tracer) & (table["split"] == split))
        for tracer in ("fdg", "psma")
        for split in ("test", "train")
    ]
    expected = [(group, level, rows) for group, level, rows in expected if rows.any()]
    assert list(zip(summary["group"], summary["level"], strict=True)) == [entry[:2] for entry in expected]
    for row, (_, _, members) in zip(summary.to_dict("records"), expected, strict=True):
        members = table[members]
        assert (row["studies"], row["patients"]) == (len(members), members["patient"].nunique())
        for metric in METRICS:
            interval = bootstrap_mean(members[metric], members["patient"], **OPTIONS)
            got = [row[f"{metric}_{part}"] for part in ("mean", "low", "high")]
            np.testing.assert_allclose(got, interval, rtol=1e-12)


def test_one_split_and_no_centre_make_no_groups_of_them():
    table = score_table({**record, "split": "test", "fold": "", "centre": ""} for record in records())
    assert summarise(table, **OPTIONS)["group"].unique().tolist() == ["overall", "tracer"]


def test_columns():
    first = ["group", "level", "studies", "patients", "dice_mean", "dice_low", "dice_high", "fpv_ml_mean"]
    assert summarise(score_table(records()), **OPTIONS).columns.tolist()[:8] == first


def steps(count=8):
    rng = np.random.default_rng(1)
    return [
        {**record, "clicks": k, "fpv_ml": rng.random(), "dice": None if record["dice"] is None else rng.random()}
        for record in records(count)
        for k in range(11)
    ]


def test_curves_and_areas():
    table = interactive_table(steps())
    summary = summarise_interactive(table, **OPTIONS)
    assert summary.columns.tolist()[:7] == ["group", "level", "measure", "clicks", "studies", "patients", "dice_mean"]
    overall = summary[summary["group"] == "overall"]
    assert overall["measure"].tolist() == ["value"] * 11 + ["area"]
    assert overall["clicks"].tolist() == [*range(11), 10]
    np.testing.assert_allclose(overall["dice_mean"][:11], table.groupby("clicks")["dice"].mean())
    areas = interactive_areas(table)
    assert overall["dice_mean"].iloc[-1] == pytest.approx(areas["auc_dice"].mean())
    psma = summary[(summary["group"] == "tracer") & (summary["level"] == "psma")]
    members = areas[areas["tracer"] == "psma"]
    got = psma.iloc[-1][["fpv_ml_mean", "fpv_ml_low", "fpv_ml_high"]].tolist()
    assert got == pytest.approx(bootstrap_mean(members["auc_fpv_ml"], members["patient"], **OPTIONS))


def test_no_curves():
    summary = summarise_interactive(interactive_table([]), **OPTIONS)
    assert len(summary) == 0
    assert summary.columns.tolist()[:4] == ["group", "level", "measure", "clicks"]


def test_the_scripts_write_the_tables(tmp_path):
    files = []
    for record in [*records(6), *steps(6)]:
        files.append(tmp_path / f"{record['slug']}_{record.get('clicks', 'all')}.json")
        files[-1].write_text(json.dumps(record))
    names = ("scores.tsv", "summary.tsv", "summary.tex", "interactive.tsv", "interactive_summary.tsv")
    made = {name: tmp_path / name for name in names}
    options = {"log": tmp_path / "log", "params": OPTIONS}
    run_script(
        "summarise_scores",
        input={"scores": files[:6], "lesions": []},
        output={
            "scores": made["scores.tsv"],
            "summary": made["summary.tsv"],
            "latex": made["summary.tex"],
            **{name: tmp_path / f"{name}.tsv" for name in ("sizes", "lesion_free")},
        },
        **options,
    )
    table, summary = read_table(made["scores.tsv"]), read_table(made["summary.tsv"])
    expected = score_table(records(6))
    pd.testing.assert_frame_equal(table, expected, rtol=1e-5, check_dtype=False)
    assert summary["dice_mean"][0] == pytest.approx(expected["dice"].mean(), rel=1e-5)
    assert "\\bottomrule" in made["summary.tex"].read_text()
    run_script(
        "summarise_interactive",
        input={"scores": files[6:]},
        output={
            "interactive": made["interactive.tsv"],
            "summary": made["interactive_summary.tsv"],
            "safety": tmp_path / "safety.tsv",
        },
        **options,
    )
    assert len(read_table(made["interactive.tsv"])) == 66
    assert read_table(made["interactive_summary.tsv"])["measure"].value_counts()["value"] > 11
