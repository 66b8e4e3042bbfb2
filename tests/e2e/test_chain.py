"""The whole chain through real nnU-Net on a few phantom studies: to the report, and again after being killed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from clickpet.images import read_image

ROOT = Path(__file__).parents[2]
CONFIG = """
cohort: few.tsv
folds: [0, 1]
tracer: {epochs: 40}
train: {epochs: 2, iterations_per_epoch: {fdg: 6, psma: 6}, validation_iterations: 1}
evaluate: {click_steps: [0, 1, 10], bootstrap_repeats: 50}
"""
#: Train: two patients of each tracer; one test study; the new patient whose tracer is not told.
CHOSEN = ["fdg train", "fdg train", "psma train", "psma train", "psma test", " predict"]
pytestmark = pytest.mark.slow


def choose_rows() -> tuple[list[str], list[dict]]:
    with open(ROOT / "config" / "phantom_cases.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    chosen, patients = [], set()
    for kind in CHOSEN:
        row = next(row for row in rows if f"{row['tracer']} {row['split']}" == kind and row["patient"] not in patients)
        patients.add(row["patient"])
        chosen.append(row)
    return list(rows[0]), chosen


class Run:
    """A run of the workflow in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("rules", "config", "envs", "profiles", "scripts", "clickpet"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "Snakefile", folder)
        names, rows = choose_rows()
        with open(folder / "few.tsv", "w", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
        (folder / "few.yaml").write_text(CONFIG)
        presets = ["config/config.yaml", "config/demo.yaml", "few.yaml"]
        self.command = [
            sys.executable,
            "-m",
            "snakemake",
            "--nolock",
            "--profile",
            "profiles/demo",
            "--configfile",
            *presets,
        ]

    def start(self) -> subprocess.Popen:
        log = open(self.folder / "snakemake.log", "a")  # noqa: SIM115 (the process writes to it)
        return subprocess.Popen(
            self.command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def finish(self) -> str:
        code = self.start().wait(timeout=1500)
        log = (self.folder / "snakemake.log").read_text()
        assert code == 0, log[-6000:]
        return log

    def kill_when(self, pattern: str) -> None:
        """Start, and SIGKILL everything as soon as a file matches `pattern`."""
        process = self.start()
        deadline = time.time() + 900
        while not any(self.folder.glob(pattern)):
            assert process.poll() is None, (self.folder / "snakemake.log").read_text()[-6000:]
            assert time.time() < deadline, f"nothing matches {pattern}"
            time.sleep(0.05)
        for started in [*psutil.Process(process.pid).children(recursive=True), process]:
            started.kill()
        process.wait()

    def tables(self) -> dict[str, str]:
        names = ("scores.tsv", "summary.tsv", "interactive.tsv", "interactive_summary.tsv", "splits.json", "cohort.tsv")
        return {name: (self.folder / "results" / name).read_text() for name in names}

    def case(self, slug: str) -> Path:
        return self.folder / "results" / "cases" / slug

    def rows(self, table: str) -> list[dict]:
        with open(self.folder / "results" / table, newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    run.finish()
    return run


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
    (row,) = (row for row in run.rows("cohort.tsv") if row["split"] == "predict")
    assert (run.case(row["slug"]) / "lesion_table.csv").is_file()
    assert not (run.case(row["slug"]) / "truth.nii.gz").exists()


def test_a_second_call_does_nothing(run):
    assert "Nothing to be done" in run.finish()


@pytest.mark.skipif(not os.environ.get("CLICKPET_KILL"), reason="set CLICKPET_KILL=1: twice the time of the others")
def test_killed_in_training_and_in_prediction_it_ends_with_the_same_results(run, tmp_path):
    killed = Run(tmp_path)
    killed.kill_when("results/training/*/fold_*/*/**/checkpoint_latest.pth")
    killed.kill_when("results/cases/*/lesions_raw.nii.gz")
    killed.finish()
    assert killed.tables() == run.tables()
    for row in run.rows("cohort.tsv"):
        for name in ("lesions_raw", "lesions", "heatmap"):
            file = f"{name}.nii.gz"
            assert (killed.case(row["slug"]) / file).read_bytes() == (run.case(row["slug"]) / file).read_bytes()
