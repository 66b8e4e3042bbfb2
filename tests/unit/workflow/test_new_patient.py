"""A new patient through the workflow: what is refused beforehand, and the working folder, with the run replaced."""

import csv
import glob
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import write_model
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.errors import InputError
from clickpet.files import write_text
from clickpet.slugs import make_slug
from clickpet.workflow import folder_lock, new_patient
from clickpet.workflow.folder_lock import locked_folder
from clickpet.workflow.new_patient import DicomObjects, NewPatient, name_of, predict_patient


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
    monkeypatch.chdir(scans)
    patient = NewPatient("Jane  1.x", Path("ct.nii.gz"), Path("pet.nii.gz"), Path("clicks.json"), "psma")
    patient.check()
    (row,) = csv.DictReader(io.StringIO(patient.cohort_table(patient.files)), delimiter="\t")
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
        ({"clicks": "."}, "is a folder, not a file"),
    ],
)
def test_what_makes_no_sense_is_refused(scans, changed, message):
    given = {"case": "jane", "ct": "ct.nii.gz", "pet": "pet.nii.gz", "clicks": "clicks.json", "tracer": "", **changed}
    patient = NewPatient(
        given["case"], scans / given["ct"], scans / given["pet"], scans / given["clicks"], given["tracer"]
    )
    with pytest.raises(InputError, match=message):
        patient.check()


@pytest.mark.parametrize("models", ["", "absent"])
def test_models_that_are_not_there_are_one_line_before_anything_runs(scans, models):
    arguments = ["predict", "--ct", scans / "ct.nii.gz", "--pet", scans / "pet.nii.gz", "--out", scans / "out"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--models", str(scans / models)])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert "clickpet: error: " in done.output
    assert not (scans / "out").exists()


@pytest.mark.parametrize("case", ["x" * 200, "x" * 300, "ä" * 120, "a/b\\c", "a{b} {case}"])
def test_any_name_gives_files_that_can_be_written(scans, case):
    patient = NewPatient(case, scans / "ct.nii.gz", scans / "pet.nii.gz")
    patient.check()
    maps = [end for files in new_patient.MAPS.values() for end in files]
    for end in (*new_patient.RESULTS, *maps, ".nii.gz"):
        write_text(scans / f"{patient.file_name}{end}", "")
    assert len(list(scans.glob(f"{glob.escape(patient.file_name)}*"))) == len(new_patient.RESULTS) + 3


@pytest.fixture
def models(tmp_path):
    return write_model(tmp_path / "models" / "fdg").parent


@pytest.fixture
def runs(monkeypatch):
    """Runs of the workflow, which only write what they would be collected from; "during" may do something meanwhile."""
    calls = []

    def run_workflow(folder, configs, targets, **options):
        calls.append({"folder": folder, "targets": targets, **options})
        [row] = csv.DictReader((folder / "patient.tsv").read_text().splitlines(), delimiter="\t")
        case = folder / "results" / "cases" / make_slug(row["case"])
        case.mkdir(parents=True, exist_ok=True)
        pet = folder / row["pet"]
        for name in (*new_patient.RESULTS.values(), "lesions.nii.gz"):
            (case / name).write_text(pet.read_text() if pet.is_file() else "of slices")
        (case / "quality.json").write_text(json.dumps({"findings": []}))
        (case / "case.json").write_text(json.dumps({"case": row["case"]}))
        calls[-1]["row"] = row
        getattr(run_workflow, "during", lambda folder: None)(folder)

    monkeypatch.setattr(new_patient, "run_workflow", run_workflow)
    return calls, run_workflow


def predict(scans, models, case="jane", **options):
    patient = NewPatient(case, scans / "ct.nii.gz", scans / "pet.nii.gz", scans / "clicks.json", "fdg")
    return predict_patient(patient, models, scans / "out", **options)


@pytest.mark.parametrize("kinds", [("seg",), ("sr", "rtstruct")])
def test_dicom_objects_of_a_pet_that_is_no_dicom_are_refused_before_anything_runs(scans, models, runs, kinds):
    with pytest.raises(InputError, match=f"is no DICOM, and a {kinds[0].upper()} refers to DICOM slices"):
        predict(scans, models, objects=DicomObjects(kinds))
    assert runs[0] == []
    assert not (scans / "out").exists()


def test_results_are_collected_under_the_cases_name(scans, models, runs):
    (scans / "pet.nii.gz").write_text("pet of a")
    found = predict(scans, models, "a/b {c}")
    assert found["mask"] == scans / "out" / f"{make_slug('a/b {c}')}.nii.gz"
    assert json.loads(found.pop("_quality.json").read_text()) == {"findings": []}
    assert {path.read_text() for path in found.values()} == {"pet of a"}
    assert not runs[0][0]["folder"].exists()
    assert runs[0][0]["keep_logs"] is False


def test_soft_findings_of_the_quality_control_are_told(scans, models, runs):
    def during(folder):
        [case] = (folder / "results" / "cases").iterdir()
        findings = [{"severity": "soft", "what": "the CT covers 20 of 30 slices", "mend": "look at it"}]
        (case / "quality.json").write_text(json.dumps({"findings": findings}))

    runs[1].during = during
    said = []
    predict(scans, models, progress=said.append)
    assert said == ["warning: the CT covers 20 of 30 slices; look at it"]


def test_a_folder_in_use_is_refused_before_anything_is_written(scans, models, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "WAIT_S", 0.1)
    monkeypatch.setattr(new_patient, "locked_folder", lambda folder, **options: locked_folder(folder, wait_s=0.1))
    predict(scans, models, work=tmp_path / "work")
    before = {path: path.read_bytes() for path in (tmp_path / "work").rglob("*") if path.is_file()}
    with locked_folder(tmp_path / "work"), pytest.raises(InputError, match="is in use by process"):
        predict(scans, models, "john", work=tmp_path / "work")
    after = {path: path.read_bytes() for path in (tmp_path / "work").rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} <= {tmp_path / "work" / folder_lock.LOCK}
    assert len(runs[0]) == 1


@pytest.mark.parametrize("name", ["patient.tsv", "patient.yaml"])
def test_results_of_another_patient_are_not_collected(scans, models, runs, tmp_path, name):
    runs[1].during = lambda folder: (folder / name).write_text("of another program")
    with pytest.raises(InputError, match="another program has put its own patient here; give each call its own --work"):
        predict(scans, models, work=tmp_path / "work")
    assert not (scans / "out").exists()


def test_results_of_another_case_are_not_collected(scans, models, runs, tmp_path):
    runs[1].during = lambda folder: next(folder.glob("results/cases/*/case.json")).write_text('{"case": "john"}')
    with pytest.raises(InputError, match="holds results of another case"):
        predict(scans, models, work=tmp_path / "work")


def test_scans_that_change_meanwhile_are_not_collected(scans, models, runs):
    runs[1].during = lambda folder: (scans / "pet.nii.gz").write_text("another")
    with pytest.raises(InputError, match="have changed while they were segmented"):
        predict(scans, models)


def replace(path: Path, text: str) -> None:
    """Other content with the time that the file had before."""
    times = path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_only_inputs_that_were_replaced_are_read_again(scans, models, runs, tmp_path):
    for _ in range(2):
        predict(scans, models, work=tmp_path / "work")
    for name in ("pet.nii.gz", "ct.nii.gz", "clicks.json"):
        replace(scans / name, "another patient's")
        predict(scans, models, work=tmp_path / "work")
    predict(scans, models, work=tmp_path / "work")
    assert [call["forced_rules"] for call in runs[0]] == [
        [], [], ["import_case"], ["import_case"], ["place_clicks"], [],
    ]  # fmt: skip
    (tmp_path / "work" / "inputs.json").unlink()
    predict(scans, models, work=tmp_path / "work")
    assert runs[0][-1]["forced_rules"] == ["import_case", "place_clicks"]


def test_a_replaced_file_in_a_folder_of_slices_is_seen(scans, models, runs, tmp_path):
    (scans / "pet.nii.gz").unlink()
    (scans / "pet.nii.gz").mkdir()
    (scans / "pet.nii.gz" / "1.dcm").touch()
    predict(scans, models, work=tmp_path / "work")
    replace(scans / "pet.nii.gz" / "1.dcm", "another")
    predict(scans, models, work=tmp_path / "work")
    assert [bool(call["forced_rules"]) for call in runs[0]] == [False, True]


@pytest.mark.parametrize(
    ("folder", "pet"), [("p{case}q", "pet.nii.gz"), ("p", "pet{x}.nii.gz"), ("p{{}}", "{}.nii.gz"), ("p", "p.nii.gz")]
)
def test_braces_in_paths_do_not_reach_the_workflow(scans, models, runs, tmp_path, folder, pet):
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / pet
    path.write_text("pet with braces")
    for _ in range(2):
        found = predict_patient(
            NewPatient("c", scans / "ct.nii.gz", path, None, "fdg"), models, scans / "out", work=tmp_path / "w{x}"
        )
    assert found["mask"].read_text() == "pet with braces"
    assert "{" not in runs[0][0]["row"]["pet"]
    assert runs[0][1]["row"] == runs[0][0]["row"]
    assert ("{" in str(path)) is (runs[0][0]["row"]["pet"] != str(path))


def test_a_place_for_results_that_cannot_be_written_is_told_first(scans, models, runs):
    (scans / "file").touch()
    for out in (scans / "file", scans / "file" / "below"):
        with pytest.raises(InputError, match="file: is a file, not a folder; give a folder after --out"):
            predict_patient(NewPatient("c", scans / "ct.nii.gz", scans / "pet.nii.gz", None, "fdg"), models, out)
    assert runs[0] == []


def without_privileges(*command: str) -> subprocess.CompletedProcess:
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    command = [*(drop if os.geteuid() == 0 else []), *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("closed", "line"),
    [
        ("ct.nii.gz", "ct.nii.gz' is not readable"),
        ("out", "out: may not be written to; give another folder after --out"),
        ("models", "models' is not readable"),
    ],
)
def test_what_may_not_be_read_or_written_is_one_line(scans, models, closed, line):
    (scans / "out").mkdir()
    (scans / closed).chmod(0o500 if closed == "out" else 0)
    paths = {"ct": scans / "ct.nii.gz", "pet": scans / "pet.nii.gz", "models": models, "out": scans / "out"}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    done = without_privileges(sys.executable, "-c", "from clickpet.cli.app import app; app()", "predict", *options)
    (scans / closed).chmod(0o755)
    assert done.returncode > 0
    assert done.stderr.startswith("clickpet: error: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
