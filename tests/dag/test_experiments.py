"""Experiments beside a base run: what each of them computes again, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stub_workflow import Workflow

EXPERIMENTS = {
    "no post-processing": {"postprocess": {"min_voxels": 0, "min_suv_max": 0}},
    "faster bootstrap": {"evaluate": {"bootstrap_repeats": 10}},
    "longer PSMA": {"train": {"iterations_per_epoch": {"psma": 9}}},
}
#: Runs or plans EXPERIMENTS of the workflow in the working folder and prints what comes out as JSON.
CALL = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from clickpet.workflow.experiment_plan import plan_experiments
from clickpet.workflow.experiments import BaseRun, read_experiments, run_experiments

base = BaseRun(Path(), [Path("config/config.yaml"), Path("mine.yaml")])
experiments = read_experiments("experiments.yaml", base)
if sys.argv[1] == "plan":
    print(json.dumps([asdict(row) for row in plan_experiments(base, experiments, together=2)]))
else:
    tell = lambda line: print(line, file=sys.stderr, flush=True)
    run_experiments(base, experiments, Path("ablations"), progress=tell)
"""


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("experiments"))
    (workflow.folder / "experiments.yaml").write_text(json.dumps(EXPERIMENTS))
    return workflow


def start(workflow: Workflow, what: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CALL, what],
        cwd=workflow.folder,
        env={**os.environ, "PYTHONPATH": str(workflow.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[str, str]:
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return out, told


def plan(workflow: Workflow) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(finish(start(workflow, "plan"))[0])}


def made_anew(workflow: Workflow, name: str) -> set[str]:
    """Result files of an experiment that are not the base run's own."""
    own, base = workflow.folder / "ablations" / name / "results", workflow.folder / "results"
    files = {str(file.relative_to(own)) for file in own.rglob("*") if file.is_file()}
    return {file for file in files if not (base / file).is_file() or not (own / file).samefile(base / file)}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def plan_before(workflow):
    """The plan of experiments whose base run has not begun."""
    return plan(workflow)


@pytest.fixture(scope="module")
def done(workflow, plan_before):
    """The experiments, run to their end after a kill in the midst of one."""
    killed = start(workflow, "run")
    for line in killed.stderr:
        if line.startswith("longer PSMA: train lesion fold"):
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    killed.stderr.close()
    base = contents(workflow.folder / "results")
    told = finish(start(workflow, "run"))[1]
    assert contents(workflow.folder / "results") == base
    return told


def test_a_plan_before_the_base_run_knows_what_will_be_shared(plan_before):
    base = plan_before["base run"]
    assert base["trainings"] == 4
    assert base["shared"] == 0
    assert plan_before["no post-processing"]["trainings"] == 0
    assert plan_before["faster bootstrap"]["trainings"] == 0
    assert plan_before["longer PSMA"]["trainings"] == 2
    assert 0 < plan_before["faster bootstrap"]["jobs"] < plan_before["no post-processing"]["jobs"]
    assert plan_before["longer PSMA"]["jobs"] < base["jobs"]
    assert not base["measured"]
    assert base["gigabytes"] > plan_before["longer PSMA"]["gigabytes"] > 0


def test_the_plan_of_a_finished_base_run_is_the_same(workflow, plan_before, done):
    after = plan(workflow)
    assert after["base run"]["jobs"] == 0
    for name in EXPERIMENTS:
        assert (after[name]["jobs"], after[name]["shared"]) == (plan_before[name]["jobs"], plan_before[name]["shared"])


def test_an_experiment_makes_what_it_touches_and_shares_the_rest(workflow, done):
    anew = made_anew(workflow, "no post-processing")
    assert {"scores.tsv", "report.html", "cases/fdg_b/lesions.nii.gz"} <= anew
    assert not {file for file in anew if file.startswith(("models/", "nnunet/")) or file.endswith("lesions_raw.nii.gz")}

    anew = made_anew(workflow, "faster bootstrap")
    assert {"summary.tsv", "report.html"} <= anew
    assert not {file for file in anew if file.startswith(("cases/", "models/", "nnunet/"))}

    anew = made_anew(workflow, "longer PSMA")
    assert {f"models/psma/fold_{fold}/checkpoint_final.pth" for fold in (0, 1)} <= anew
    assert not {file for file in anew if file.startswith(("models/fdg/fold_", "models/tracer/fold_", "nnunet/"))}


def test_started_again_it_does_nothing_more(workflow, done):
    before = contents(workflow.folder / "ablations")
    told = finish(start(workflow, "run"))[1]
    assert [line for line in told.splitlines() if "train lesion fold" in line] == []
    after = contents(workflow.folder / "ablations")
    results = [name for name in before if "/results/" in name]
    assert results
    assert all(before[name] == after[name] for name in results)


def test_a_kill_repeats_no_finished_training(done):
    """The first training was killed in its experiment, so both are told, but none of the base run's."""
    trained = [line for line in done.splitlines() if "train lesion fold" in line]
    assert 1 <= len(trained) <= 2
    assert all(line.startswith("longer PSMA") for line in trained)
