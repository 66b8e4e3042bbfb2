"""The cohort of folders of NIfTI files, and what is said of what was left."""

from pathlib import Path

import pytest
from data_sets import touch

from clickpet.cohort import read_cohort
from clickpet.errors import InputError
from clickpet.ingest.cohort_builder import write_table
from clickpet.ingest.nifti_cohort import build_from_nifti


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


def test_hidden_files_of_a_mac_are_no_scans(tmp_path):
    for name in ("p1_ct.nii.gz", "p1_pet.nii.gz", "p1_seg.nii.gz", "p1_clicks.json"):
        touch(tmp_path / "p1" / name)
        touch(tmp_path / "p1" / f"._{name}")
        touch(tmp_path / "__MACOSX" / "p1" / f"._{name}")
        touch(tmp_path / ".Trashes" / "p2" / name)
    cohort = build_from_nifti(tmp_path, tracer="fdg")
    assert [(row["case"], Path(row["pet"]).name) for row in cohort.rows] == [("p1", "p1_pet.nii.gz")]
    assert cohort.left == []


def test_a_folder_that_is_called_like_an_image(tmp_path):
    touch(tmp_path / "p1" / "CT.nii.gz" / "CT.nii")
    touch(tmp_path / "p1" / "SUV.nii.gz")
    left = dict(build_from_nifti(tmp_path).left)
    assert left["p1/CT.nii.gz"] == "is a folder called like a file; put the file in its place"
    assert left["p1"].startswith("no CT")
