"""The whole chain through real nnU-Net on a few phantom studies: to the report, and again after being killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chain import ROOT, Run, choose_rows
from phantom_patient import check_same

import clickpet
from clickpet.images import read_image, write_image
from clickpet.workflow.training_state import FROM_START, NOT_KNOWN, TAKEN_OVER

pytestmark = pytest.mark.slow


@pytest.fixture
def run(chain_run):
    return chain_run


def test_every_scored_case_has_its_row_under_its_original_name(run):
    _, rows = choose_rows()
    scored = [row for row in rows if row["split"] != "predict"]
    assert [row["case"] for row in run.rows("scores.tsv")] == [row["case"] for row in scored]
    assert any("  " in row["case"] for row in scored)
    assert len(run.rows("interactive.tsv")) == 3 * len(scored)


def test_nobody_is_scored_by_a_model_that_saw_the_patient(run):
    splits = json.loads((run.folder / "results" / "splits.json").read_text())["cases"]
    for row in run.rows("cohort.tsv"):
        prediction = json.loads((run.case(row["slug"]) / "prediction.json").read_text())
        tracer = json.loads((run.case(row["slug"]) / "tracer.json").read_text())
        members, voters = ([str(fold) for fold in folds] for folds in (prediction["members"], tracer["models"]))
        expected = [str(splits[row["slug"]])] if row["split"] == "train" else ["0", "1"]
        assert members == expected
        assert voters == expected
        assert prediction["tracer"] == tracer["tracer"]
    for tracer in ("fdg", "psma"):
        for fold in (0, 1):
            folder = run.folder / "results" / "models" / tracer / f"fold_{fold}"
            record = json.loads((folder / "training.json").read_text())
            assert all(splits[case] != fold for case in record["training_cases"])


def test_masks_lie_on_the_pets_grid_and_post_processing_only_erases(run):
    for row in run.rows("cohort.tsv"):
        suv, raw, final = (
            read_image(run.case(row["slug"]) / f"{name}.nii.gz") for name in ("suv", "lesions_raw", "lesions")
        )
        assert suv.shape == raw.shape == final.shape
        assert not (final.array & ~raw.array).any()


def test_the_report_is_one_page_that_names_every_scored_case(run):
    html = (run.folder / "results" / "report.html").read_text()
    for row in run.rows("scores.tsv"):
        assert row["slug"] in html or row["case"] in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_the_new_patient_gets_a_mask_and_a_lesion_table(run):
    row = new_patient(run)
    assert (run.case(row["slug"]) / "lesion_table.csv").is_file()
    assert not (run.case(row["slug"]) / "truth.nii.gz").exists()


def run_command(command: str, **options) -> None:
    """Run a command of clickpet with the demo's prediction settings."""
    folder = options["output" if "output" in options else "out"].parent
    (folder / "options.yaml").write_text("predict: {tile_step: 0.8, voxel_limits: [1, 2, 3]}\n")  # as config/demo.yaml
    words = [Path(sys.executable).with_name("clickpet"), command, "--cores", "1", "--config", folder / "options.yaml"]
    words += [word for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def new_patient(run) -> dict:
    (row,) = (row for row in run.rows("cohort.tsv") if row["split"] == "predict")
    return row


def test_the_command_gives_one_patient_what_the_workflow_gives(run, tmp_path):
    row = new_patient(run)
    files = {name: run.folder / row[name] for name in ("ct", "pet", "clicks")}
    run_command("predict", models=run.folder / "results" / "models", out=tmp_path / "out", case=row["case"], **files)
    for end, file in ((".nii.gz", "lesions.nii.gz"), ("_lesions.csv", "lesion_table.csv")):
        assert (tmp_path / "out" / f"{row['case']}{end}").read_bytes() == (run.case(row["slug"]) / file).read_bytes()


def test_a_notebook_gives_one_patient_what_the_workflow_gives(run):
    row = new_patient(run)
    study = clickpet.read_study(ct=run.folder / row["ct"], pet=run.folder / row["pet"])
    clicks = clickpet.read_clicks(run.folder / row["clicks"], shape=study.shape, affine=study.affine)
    models = run.folder / "results" / "models"
    check_same(
        clickpet.segment_patient(study, clicks, models=models, config=ROOT / "config" / "demo.yaml"),
        run.case(row["slug"]),
    )


def test_the_containers_entry_point_gives_the_same_mask(run, tmp_path):
    row = new_patient(run)
    given, output = tmp_path / "input", tmp_path / "output"
    for name in ("ct", "pet"):
        (given / "images" / name).mkdir(parents=True)
        image = read_image(run.folder / row[name])
        write_image(given / "images" / name / "a1b2.mha", image.array, image.affine)
    shutil.copy(run.folder / row["clicks"], given / "lesion-clicks.json")
    run_command("grand-challenge", input=given, output=output, models=run.folder / "results" / "models")
    mask = read_image(output / "images" / "tumor-lesion-segmentation" / "a1b2.mha")
    expected = read_image(run.case(row["slug"]) / "lesions.nii.gz")
    assert np.allclose(mask.affine, expected.affine, atol=1e-4)
    assert (mask.array == expected.array).all()


def test_a_second_call_does_nothing(run):
    assert "Nothing to be done" in run.finish()


def trainings_of(run, changes: str = "") -> dict[tuple[str, str], str]:
    """What a dry run says of each training that it plans, with a config of `changes`."""
    (run.folder / "changes.yaml").write_text(changes or "seed: 42")
    command = [*run.command[:3], "-n", *run.command[3:-1], "changes.yaml"]
    said = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, check=True).stdout
    blocks = [
        block for block in re.split(r"^(?=(?:local)?rule )", said, flags=re.MULTILINE) if "train_lesion" in block[:22]
    ]
    found = {}
    for block in blocks:
        tracer, fold = re.search(r"wildcards: tracer=(\w+), fold=(\w+)", block).groups()
        found[tracer, fold] = re.search(r"checkpoint=([^=]*), \w+=", block)[1]
    return found


def test_a_dry_run_tells_what_trainings_will_do(run, tmp_path):
    checkpoint = run.folder / "results" / "models" / "fdg" / "fold_0" / "checkpoint_final.pth"
    aside = checkpoint.rename(checkpoint.with_suffix(".aside"))
    try:
        assert trainings_of(run) == {("fdg", "0"): TAKEN_OVER}
        assert trainings_of(run, "train: {learning_rate: 0.5}")["fdg", "0"] == FROM_START
        assert set(trainings_of(run, "heatmap: {sigma_tumor: 5}").values()) == {NOT_KNOWN}
    finally:
        aside.rename(checkpoint)
    assert trainings_of(run) == {}


@pytest.mark.skipif(not os.environ.get("CLICKPET_KILL"), reason="set CLICKPET_KILL=1: twice the time of the others")
def test_killed_in_training_and_in_prediction_it_ends_with_the_same_results(run, tmp_path):
    killed = Run(tmp_path)
    killed.kill_when("results/training/*/fold_*/*/**/checkpoint_latest.pth")
    killed.kill_when("results/cases/*/lesions_raw.nii.gz")
    killed.finish("--nolock")
    assert killed.tables() == run.tables()
    for row in run.rows("cohort.tsv"):
        for name in ("lesions_raw", "lesions", "heatmap"):
            file = f"{name}.nii.gz"
            assert (killed.case(row["slug"]) / file).read_bytes() == (run.case(row["slug"]) / file).read_bytes()
