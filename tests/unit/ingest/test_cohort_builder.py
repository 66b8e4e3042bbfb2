"""Cohort tables written, and what is told of them."""

import pytest
from data_sets import PSMA, make_release, touch

from clickpet.cohort import read_cohort
from clickpet.errors import InputError
from clickpet.ingest.autopet_cohort import build_from_autopet
from clickpet.ingest.cohort_builder import Cohort, files_in, summary_text, table_text, write_table
from clickpet.ingest.nifti_cohort import build_from_nifti


def test_a_table_is_never_replaced_unasked(tmp_path):
    cohort = build_from_autopet(make_release(tmp_path / "a", [PSMA]))
    table = tmp_path / "cases.tsv"
    table.write_text("mine")
    with pytest.raises(InputError, match=r"cases.tsv: is there already; give another --out, or --force"):
        write_table(cohort, table)
    assert table.read_text() == "mine"
    write_table(cohort, table, force=True)
    assert table.read_text() == table_text(cohort)


def test_an_empty_table_is_not_written(tmp_path):
    touch(tmp_path / "p1" / "SUV.nii.gz")
    with pytest.raises(InputError, match="no study was taken"):
        write_table(build_from_nifti(tmp_path), tmp_path / "cases.tsv")
    assert not (tmp_path / "cases.tsv").exists()


def test_paths_relative_to_where_the_workflow_is_started(tmp_path, monkeypatch):
    cohort = build_from_autopet(make_release(tmp_path / "data", [PSMA]))
    monkeypatch.chdir(tmp_path)
    write_table(cohort, tmp_path / "config" / "cases.tsv", relative=True)
    [study] = read_cohort(tmp_path / "config" / "cases.tsv")
    assert study.ct == f"data/imagesTr/{PSMA}_0000.nii.gz"


def test_rows_are_sorted_whatever_the_disk_says(tmp_path):
    names = ["psma_b_2020-01-01", "fdg_z_x", "psma_a_2020-01-01"]
    cohort = build_from_autopet(make_release(tmp_path, names))
    cohort.rows.reverse()
    assert [line.split("\t")[0] for line in table_text(cohort).splitlines()[1:]] == sorted(names)


def test_a_name_that_a_table_cannot_hold(tmp_path):
    for name in ("CT.nii.gz", "SUV.nii.gz"):
        touch(tmp_path / "a\tb" / name)
    with pytest.raises(InputError, match="holds a tab or line break"):
        table_text(build_from_nifti(tmp_path))


def test_two_folders_that_give_one_name(tmp_path):
    for folder in ("a/b_c", "a_b/c"):
        for name in ("CT.nii.gz", "SUV.nii.gz"):
            touch(tmp_path / folder / name)
    with pytest.raises(InputError, match="case 'a_b_c' is there twice"):
        table_text(build_from_nifti(tmp_path))


def test_equal_reasons_are_told_once(tmp_path):
    for patient in range(9):
        touch(tmp_path / f"p{patient}" / "SUV.nii.gz")
    lines = summary_text(build_from_nifti(tmp_path)).splitlines()
    assert lines[1] == "left    9"
    assert lines[2].startswith("  9 (p0, p1, p2, p3, ...): no CT")
    assert len(lines) == 3


@pytest.mark.parametrize("folder", ["a\x1b[31mb", "a\u2028b", "a{b}c", "{case}", "a\udce9b"])
def test_a_path_that_no_workflow_can_read(tmp_path, folder):
    for name in ("CT.nii.gz", "SUV.nii.gz"):
        touch(tmp_path / folder / name)
    with pytest.raises(
        InputError, match=r"holds a tab or line break|holds braces, which Snakemake|is not named in UTF-8"
    ) as caught:
        table_text(build_from_nifti(tmp_path))
    assert str(caught.value).isprintable()


def test_spaces_of_other_scripts_are_fine(tmp_path):
    for name in ("CT.nii.gz", "SUV.nii.gz"):
        touch(tmp_path / "山田\u3000太郎\u00a01" / name)
    write_table(build_from_nifti(tmp_path), tmp_path / "cases.tsv")
    assert read_cohort(tmp_path / "cases.tsv")[0].case == "山田\u3000太郎\u00a01"


@pytest.mark.parametrize("case", ["=1+1", "@home", "-x", "+49 30", "plain", "O'Hara"])
def test_names_that_look_like_formulas_are_written_as_text(tmp_path, case):
    touch(tmp_path / "ct.nii.gz")
    cohort = Cohort()
    cohort.take(case, patient=case, split="predict", ct=tmp_path / "ct.nii.gz", pet=tmp_path / "ct.nii.gz")
    write_table(cohort, tmp_path / "cases.tsv")
    assert not any(field[:1] in "=+-@" for field in (tmp_path / "cases.tsv").read_text().split("\t") if field.strip())
    [study] = read_cohort(tmp_path / "cases.tsv")
    assert (study.case, study.patient) == (case, case)


def test_patients_in_several_spellings_are_counted_once():
    cohort = Cohort()
    for case, patient in (("a", "p1"), ("b", "P1"), ("c", "p2")):
        cohort.take(case, patient=patient, split="predict")
    assert summary_text(cohort).startswith("taken   3 studies of 2 patients")


def test_files_are_those_of_the_endings_that_are_not_hidden(tmp_path):
    for name in ("b.json", "a_clicks.json", "._a_clicks.json", ".hidden.json", "note.txt", "a.json"):
        touch(tmp_path / name)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.json").symlink_to(tmp_path / "nowhere")
    assert files_in(tmp_path, ["_clicks.json", ".json"]) == {
        "a": tmp_path / "a.json", "b": tmp_path / "b.json", "broken": tmp_path / "broken.json",
    }  # fmt: skip
