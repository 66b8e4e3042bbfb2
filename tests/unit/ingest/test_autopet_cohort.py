"""The cohort of an autoPET release, and what is said of what was left."""

import csv
import json
import time

import pytest
from data_sets import FDG, PSMA, make_release, touch

from clickpet.cohort import read_cohort
from clickpet.errors import InputError
from clickpet.ingest.autopet_cohort import build_from_autopet
from clickpet.ingest.cohort_builder import summary_text, write_table


def test_a_release_becomes_a_table_that_the_workflow_reads(tmp_path):
    folder = make_release(tmp_path / "autopet", [PSMA, FDG])
    organs = touch(tmp_path / "organs" / f"{FDG}.nii.gz")
    cohort = build_from_autopet(folder, organs=organs.parent)
    write_table(cohort, tmp_path / "cases.tsv")
    fdg, psma = read_cohort(tmp_path / "cases.tsv")
    assert (fdg.case, fdg.tracer, fdg.patient, fdg.centre, fdg.split) == (FDG, "fdg", "0011f3deaf", "UKT", "train")
    assert (psma.case, psma.tracer, psma.patient, psma.centre) == (PSMA, "psma", "28f9ecc106933531", "LMU")
    assert fdg.ct == str(folder / "imagesTr" / f"{FDG}_0000.nii.gz")
    assert fdg.pet == str(folder / "imagesTr" / f"{FDG}_0001.nii.gz")
    assert fdg.label == str(folder / "labelsTr" / f"{FDG}.nii.gz")
    assert fdg.clicks == str(folder / "clicksTr" / f"{FDG}_clicks.json")
    assert (fdg.organs, psma.organs) == (str(organs), "")
    assert cohort.left == []


def test_all_real_names_in_seconds(tmp_path, shared_data):
    with open(shared_data / "autopet" / "cohort.tsv", newline="") as file:
        real = list(csv.DictReader(file, delimiter="\t"))
    folder = make_release(tmp_path / "autopet", [row["case"] for row in real])
    start = time.perf_counter()
    cohort = build_from_autopet(folder)
    write_table(cohort, tmp_path / "cases.tsv")
    assert time.perf_counter() - start < 10
    studies = {study.case: study for study in read_cohort(tmp_path / "cases.tsv")}
    assert len(studies) == len({study.slug for study in studies.values()}) == 1611
    assert all(
        (studies[row["case"]].tracer, studies[row["case"]].patient) == (row["tracer"], row["patient"]) for row in real
    )
    assert "taken   1611 studies of 1278 patients" in summary_text(cohort)
    assert "tracer fdg 1014, psma 597" in summary_text(cohort)
    assert "centre LMU 597, UKT 1014" in summary_text(cohort)
    assert "label 1611, clicks 1611, organs 0" in summary_text(cohort)


def test_incomplete_studies_are_left_and_named(tmp_path):
    folder = make_release(tmp_path, [PSMA, FDG, "psma_aa_2020-01-01", "psma_bb_2020-01-01"])
    (folder / "imagesTr" / f"{FDG}_0001.nii.gz").unlink()
    (folder / "labelsTr" / "psma_aa_2020-01-01.nii.gz").unlink()
    for channel in ("0000", "0001"):
        (folder / "imagesTr" / f"psma_bb_2020-01-01_{channel}.nii.gz").unlink()
    cohort = build_from_autopet(folder)
    assert [row["case"] for row in cohort.rows] == [PSMA]
    assert dict(cohort.left) == {
        FDG: f"PET imagesTr/{FDG}_0001.nii.gz is missing",
        "psma_aa_2020-01-01": "label labelsTr/psma_aa_2020-01-01.nii.gz is missing",
        "labelsTr/psma_bb_2020-01-01.nii.gz": "a label without images",
    }
    assert any(note.startswith("3 clicks belong to no study") for note in cohort.notes)


def test_studies_to_predict_need_no_label(tmp_path):
    folder = make_release(tmp_path, [PSMA, "hospital7"])
    (folder / "labelsTr" / f"{PSMA}.nii.gz").unlink()
    rows = {row["case"]: row for row in build_from_autopet(folder, split="predict", centre="KSB").rows}
    assert (rows[PSMA]["split"], rows[PSMA]["label"], rows[PSMA]["centre"]) == ("predict", "", "KSB")
    assert (rows["hospital7"]["tracer"], rows["hospital7"]["patient"]) == ("", "hospital7")


def test_a_training_study_without_tracer_is_left(tmp_path):
    cohort = build_from_autopet(make_release(tmp_path, [PSMA, "hospital7"]))
    assert [what for what, why in cohort.left if "needs its tracer" in why] == ["hospital7"]


def test_metadata_and_splits_are_read(tmp_path):
    folder = make_release(tmp_path, [PSMA, FDG])
    (folder / "psma_metadata.csv").write_text(
        "Subject ID,Study Date,centre\nPSMA_28f9ecc106933531,2016-01-01,early\nPSMA_28f9ecc106933531,2017-10-28,late\n"
    )
    (folder / "fdg_metadata.csv").write_text("Subject ID,Study Date,age\nPETCT_ffff,3-23-2003,060Y\n")
    (folder / "splits_final.json").write_text(json.dumps([{"train": [PSMA], "val": ["fdg_x_y"]}]))
    (folder / "dataset.json").write_text(json.dumps({"numTraining": 1611, "file_ending": ".nii.gz"}))
    cohort = build_from_autopet(folder)
    assert {row["case"]: row["centre"] for row in cohort.rows} == {PSMA: "late", FDG: "UKT"}
    assert "dataset.json tells of 1611 studies, 2 were taken" in cohort.notes
    assert f"1 studies have no row in the metadata tables (first: {FDG})" in cohort.notes
    assert any(note.endswith("it leaves out 1 of these studies and names 1 others") for note in cohort.notes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "no such folder"),
        (lambda folder: touch(folder / "file"), "is not a folder"),
        (lambda folder: folder, "has no folder imagesTr; give the folder that holds imagesTr"),
        (lambda folder: (folder / "v2" / "imagesTr").mkdir(parents=True) or folder, "imagesTr; give .*v2"),
        (lambda folder: (folder / "imagesTr").mkdir() or folder, "no image that ends in _0000.nii.gz"),
    ],
)
def test_a_wrong_folder_is_one_clear_line(tmp_path, make, message):
    with pytest.raises(InputError, match=message) as caught:
        build_from_autopet(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dataset.json", "{", "dataset.json: is not valid JSON"),
        ("dataset.json", "[]", "dataset.json: holds a list, not a dict"),
        ("splits_final.json", "{}", "splits_final.json: holds a dict, not a list"),
        ("fdg_metadata.csv", b"\xff\xfe\x00", "fdg_metadata.csv: cannot be read as a table"),
    ],
)
def test_a_broken_side_file_is_named(tmp_path, name, text, message):
    folder = make_release(tmp_path, [PSMA])
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        build_from_autopet(folder)


def test_click_folder_without_clicks(tmp_path):
    folder = make_release(tmp_path / "a", [PSMA], clicks=False)
    (tmp_path / "clicks").mkdir()
    with pytest.raises(InputError, match=r"holds no click file; name them \{case\}_clicks\.json"):
        build_from_autopet(folder, clicks=tmp_path / "clicks")


def test_hidden_files_of_a_mac_are_no_studies(tmp_path):
    folder = make_release(tmp_path / "a", [PSMA])
    plain = build_from_autopet(folder, organs=touch(tmp_path / "organs" / f"{PSMA}.nii.gz").parent)
    for place, ending in (("imagesTr", "_0000.nii.gz"), ("imagesTr", "_0001.nii.gz"), ("labelsTr", ".nii.gz"),
                          ("clicksTr", "_clicks.json"), ("../organs", ".nii.gz")):  # fmt: skip
        touch(folder / place / f"._{PSMA}{ending}")
        touch(folder / place / ".DS_Store")
    cohort = build_from_autopet(folder, organs=tmp_path / "organs")
    assert (cohort.rows, cohort.left, cohort.notes) == (plain.rows, [], plain.notes)


def test_a_folder_that_is_called_like_an_image(tmp_path):
    folder = make_release(tmp_path, [PSMA, FDG])
    (folder / "imagesTr" / f"{FDG}_0001.nii.gz").unlink()
    (folder / "imagesTr" / f"{FDG}_0001.nii.gz").mkdir()
    assert build_from_autopet(folder).left == [(FDG, f"PET imagesTr/{FDG}_0001.nii.gz is a folder, not a file")]


def test_a_release_with_a_table_of_huge_fields(tmp_path):
    folder = make_release(tmp_path, [PSMA])
    (folder / "psma_metadata.csv").write_text("Subject ID,centre\nx," + "y" * 200_000 + "\n")
    with pytest.raises(InputError, match=r"psma_metadata.csv: cannot be read as a table"):
        build_from_autopet(folder)
