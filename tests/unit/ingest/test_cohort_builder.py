"""Cohort tables written from data sets on disk, and what is said of what was left."""

import csv
import json
import time
from pathlib import Path

import pytest

from clickpet.cohort import read_cohort
from clickpet.errors import InputError
from clickpet.ingest.cohort_builder import build_from_autopet, build_from_nifti, summary_text, table_text, write_table

FDG = "fdg_0011f3deaf_03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-10445"
PSMA = "psma_28f9ecc106933531_2017-10-28"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def make_release(folder: Path, names, clicks=True) -> Path:
    for name in names:
        touch(folder / "imagesTr" / f"{name}_0000.nii.gz")
        touch(folder / "imagesTr" / f"{name}_0001.nii.gz")
        touch(folder / "labelsTr" / f"{name}.nii.gz")
        if clicks:
            touch(folder / "clicksTr" / f"{name}_clicks.json")
    return folder


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
        ("dataset.json", "{", "dataset.json: cannot be read as JSON"),
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


def test_real_nifti_folders(shared_data, tmp_path):
    cohort = build_from_nifti(shared_data / "sts_nifti", tracer="fdg", centre="McGill")
    write_table(cohort, tmp_path / "cases.tsv")
    studies = read_cohort(tmp_path / "cases.tsv")
    assert len(studies) == 15
    assert cohort.left == []
    first = studies[0]
    assert (first.case, first.patient, first.split, first.centre) == ("STS_001", "STS_001", "train", "McGill")
    assert [Path(path).name for path in (first.ct, first.pet, first.label)] == [
        "CT_image.nii.gz", "PET_image.nii.gz", "PET_mask.nii.gz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CT.nii.gz", "CTres.nii.gz", "PET.nii.gz", "SUV.nii.gz", "SEG.nii.gz"],
         {"ct": "CTres.nii.gz", "pet": "SUV.nii.gz", "label": "SEG.nii.gz"}),
        (["CT.nii.gz", "PET.nii.gz", "TTB.nii.gz", "totseg_24.nii.gz"],
         {"ct": "CT.nii.gz", "pet": "PET.nii.gz", "label": "TTB.nii.gz"}),
        (["p1_ct.nii", "p1_pet.nii", "p1_seg.nii", "p1_organs.nii", "p1_clicks.json"],
         {"ct": "p1_ct.nii", "pet": "p1_pet.nii", "label": "p1_seg.nii", "organs": "p1_organs.nii",
          "clicks": "p1_clicks.json"}),
        (["x_0000.nii.gz", "x_0001.nii.gz"], {"ct": "x_0000.nii.gz", "pet": "x_0001.nii.gz"}),
        (["ct_image.nii.gz", "pet_image.nii.gz", "pet_mask.nii.gz", "ct_mask.nii.gz"],
         {"ct": "ct_image.nii.gz", "pet": "pet_image.nii.gz", "label": "pet_mask.nii.gz"}),
    ],
)  # fmt: skip
def test_usual_names_are_known(tmp_path, names, expected):
    for name in names:
        touch(tmp_path / "fdg_p1" / name)
    [row] = build_from_nifti(tmp_path).rows
    found = {kind: Path(row[kind]).name for kind in ("ct", "pet", "label", "clicks", "organs") if row[kind]}
    assert found == expected
    assert (row["tracer"], row["split"]) == ("fdg", "train" if "label" in expected else "predict")


def test_own_patterns_replace_the_usual_ones(tmp_path):
    for name in ("anatomy.nii.gz", "activity.nii.gz", "tumour.nii.gz", "PET.nii.gz"):
        touch(tmp_path / "p1" / name)
    patterns = {"ct": ["anat*"], "pet": ["act*"], "label": ["tum*"]}
    [row] = build_from_nifti(tmp_path, patterns=patterns, tracer="psma").rows
    assert [Path(row[kind]).name for kind in ("ct", "pet", "label")] == [
        "anatomy.nii.gz", "activity.nii.gz", "tumour.nii.gz",
    ]  # fmt: skip


def test_nested_studies_share_their_patient_and_say_their_tracer(tmp_path):
    for study in ("PSMA", "FDG"):
        for name in ("CT.nii.gz", "SUV.nii.gz", "TTB.nii.gz"):
            touch(tmp_path / "train_0001" / study / name)
    rows = build_from_nifti(tmp_path).rows
    assert [(row["case"], row["patient"], row["tracer"]) for row in rows] == [
        ("train_0001_FDG", "train_0001", "fdg"),
        ("train_0001_PSMA", "train_0001", "psma"),
    ]


def test_what_nifti_folders_lack_is_said(tmp_path):
    for name in ("no_ct/SUV.nii.gz", "no_pet/CT.nii.gz", "two/a_pet.nii.gz", "two/b_pet.nii.gz", "two/CT.nii.gz",
                 "strange/volume.nii.gz", "no_tracer/CT.nii.gz", "no_tracer/SUV.nii.gz", "no_tracer/SEG.nii.gz",
                 "notes/readme.txt", "only_mask/SEG.nii.gz"):  # fmt: skip
        touch(tmp_path / name)
    left = dict(build_from_nifti(tmp_path).left)
    assert left["no_ct"].startswith("no CT (patterns CTres.nii*")
    assert left["no_pet"].startswith("no PET (patterns SUV.nii*")
    assert left["two"] == (
        "pet: 2 files fit *[_-]pet.nii* (a_pet.nii.gz, b_pet.nii.gz); give --pet with a narrower pattern"
    )
    assert left["strange"] == "no file matches a pattern: volume.nii.gz"
    assert left["no_tracer"] == "a training case needs its tracer; give --tracer, or --split test to have it found"
    assert set(left) == {"no_ct", "no_pet", "two", "strange", "no_tracer"}


def test_a_folder_without_studies(tmp_path):
    with pytest.raises(InputError, match="holds no folder with a PET image; give file-name patterns"):
        build_from_nifti(tmp_path)


def test_an_unknown_tracer_or_split(tmp_path):
    with pytest.raises(InputError, match="tracer 'fet' is not known; give one of fdg, psma"):
        build_from_nifti(tmp_path, tracer="fet")
    with pytest.raises(InputError, match="split 'val' is not known; give one of train, test, predict"):
        build_from_nifti(tmp_path, split="val")


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
