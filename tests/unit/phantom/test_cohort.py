"""The phantom cohort: the committed table, and the files that it names."""

import csv
from pathlib import Path

import numpy as np
from phantom_studies import SEED, made

from clickpet.images import read_image
from clickpet.phantom.cohort import COHORT, table_text, write_cohort

ROOT = Path(__file__).parents[3]


def test_committed_table_is_the_cohort():
    assert (ROOT / "config/phantom_cases.tsv").read_text(encoding="utf-8") == table_text()


def test_cohort_has_what_it_should():
    train = {
        tracer: [study for study in COHORT if study.split == "train" and study.tracer == tracer]
        for tracer in ("fdg", "psma")
    }
    for studies in train.values():
        assert len(studies) == 7
        assert len({study.patient for study in studies}) == 6
        assert sum(study.healthy for study in studies) == 1
        assert {study.centre for study in studies} == {"UKT", "LMU"}
        assert {study.ct_own_grid for study in studies} == {True, False}
        assert {study.clicks_given for study in studies} == {True, False}
    assert sorted(study.tracer for study in COHORT if study.split == "test") == ["fdg", "psma"]
    assert len({study.case for study in COHORT}) == len(COHORT) == 17
    trained = {study.patient for study in COHORT if study.split == "train"}
    assert not trained & {study.patient for study in COHORT if study.split != "train"}


def test_names_are_as_in_the_release():
    names = [study.case for study in COHORT]
    assert any("  " in name for name in names)
    assert any("." in name for name in names)
    for study in COHORT:
        assert study.case.split("_")[1] == study.patient


def test_predict_study_tells_neither_tracer_nor_truth():
    (row,) = [row for row in csv.DictReader(table_text().splitlines(), delimiter="\t") if row["split"] == "predict"]
    assert (row["tracer"], row["label"], row["organs"]) == ("", "", "")
    assert row["clicks"].endswith("_clicks.json")


def test_files_are_those_of_the_table(tmp_path):
    studies = (COHORT[2], COHORT[16])
    write_cohort(seed=SEED, studies=studies, root=tmp_path)
    named = {name for study in studies for name in study.files.values() if name}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == named
    pet, ct = (read_image(tmp_path / COHORT[2].files[kind]) for kind in ("pet", "ct"))
    assert np.array_equal(pet.array, made(2)["pet"])
    assert np.array_equal(ct.array, made(2)["ct"])
    assert np.allclose(ct.affine, made(2)["ct_affine"], atol=1e-4)
    first = {name: (tmp_path / name).read_bytes() for name in named}
    write_cohort(seed=SEED, studies=studies, root=tmp_path)
    assert first == {name: (tmp_path / name).read_bytes() for name in named}
