import csv
import io

import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.errors import InputError
from clickpet.workflow.new_patient import NewPatient, _reason, name_of


@pytest.fixture
def scans(tmp_path):
    for name in ("ct.nii.gz", "pet.nii.gz", "clicks.json"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/Jane  D. 1/PET.nii.gz", "Jane  D. 1"),
        ("/data/psma_1_2016/suv_image.nii", "psma_1_2016"),
        ("/set/imagesTr/fdg_a b_0001.nii.gz", "fdg_a b"),
        ("/data/jane/DICOM/PT", "jane"),
        ("/data/p7/pet_1.mha", "p7"),
    ],
)
def test_a_case_is_called_what_its_file_or_folder_says(path, name):
    assert name_of(path) == name


def test_the_table_has_one_row_with_absolute_paths(scans, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(scans)
    patient = NewPatient("Jane  1.x", Path("ct.nii.gz"), Path("pet.nii.gz"), Path("clicks.json"), "psma")
    patient.check()
    (row,) = csv.DictReader(io.StringIO(patient.row()), delimiter="\t")
    assert row["case"] == "Jane  1.x"
    assert (row["split"], row["tracer"], row["label"]) == ("predict", "psma", "")
    assert [row[name] for name in ("ct", "pet", "clicks")] == [
        str(scans / name) for name in ("ct.nii.gz", "pet.nii.gz", "clicks.json")
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ct": "absent.nii.gz"}, "no such file"),
        ({"clicks": "absent.json"}, "no such file"),
        ({"ct": "pet.nii.gz"}, "both as CT and as PET"),
        ({"tracer": "dota"}, "dota"),
        ({"case": " "}, "no name"),
        ({"case": "a\tb"}, "no name"),
    ],
)
def test_what_makes_no_sense_is_refused(scans, changed, message):
    given = {"case": "jane", "ct": "ct.nii.gz", "pet": "pet.nii.gz", "clicks": "clicks.json", "tracer": "", **changed}
    patient = NewPatient(
        given["case"], scans / given["ct"], scans / given["pet"], scans / given["clicks"], given["tracer"]
    )
    with pytest.raises(InputError, match=message):
        patient.check()


def test_the_reason_is_the_line_that_a_job_left():
    lines = ["Building DAG", "clickpet: error: pet.nii.gz: holds NaN; mend it", "Exiting because a job failed"]
    assert _reason(lines) == "pet.nii.gz: holds NaN; mend it"
    assert _reason(["config: tile_stp: no such key"]) == "tile_stp: no such key"
    assert "disk full" in _reason(["OSError: disk full"])


@pytest.mark.parametrize("models", ["", "absent"])
def test_models_that_are_not_there_are_one_line_before_anything_runs(scans, models):
    arguments = ["predict", "--ct", scans / "ct.nii.gz", "--pet", scans / "pet.nii.gz", "--out", scans / "out"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--models", str(scans / models)])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert "clickpet: error: " in done.output
    assert not (scans / "out").exists()
