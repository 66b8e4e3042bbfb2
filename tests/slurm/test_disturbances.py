"""Trainings on a real SLURM cluster, disturbed in every way: they go on, and the results are those of a quiet run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from chain import Run
from cluster import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.slurm]
on_request = pytest.mark.skipif(not os.environ.get("CLICKPET_SLURM"), reason="set CLICKPET_SLURM=1: takes many minutes")
#: One tracer, two patients, two folds; trainings of about half a minute.
CONFIG = """
cohort: few.tsv
folds: [0, 1]
train: {epochs: 24, iterations_per_epoch: {fdg: 6}, validation_iterations: 1}
evaluate: {bootstrap_repeats: 50}
report: {interactive: false}
"""
TRAINING = ".train_lesion_fold.py"
KINDS = ["fdg train", "fdg train"]
TABLES = ("scores.tsv", "summary.tsv", "splits.json")
FOLDS = [f"results/models/fdg/fold_{fold}/checkpoint_final.pth" for fold in (0, 1)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Everything before the trainings, made without SLURM."""
    run = Run(tmp_path_factory.mktemp("prepared"), config=CONFIG, kinds=KINDS)
    run.finish("prepare", "results/models/fdg/training_set.json", "results/splits.json")
    return run.folder


@pytest.fixture(scope="module")
def quiet(tmp_path_factory, prepared):
    """The undisturbed run, without SLURM."""
    run = Run(tmp_path_factory.mktemp("quiet"), begun=prepared)
    run.finish("evaluate")
    return run


@pytest.fixture
def healthy(cluster):
    """The cluster, and every daemon of it running again afterwards."""
    yield cluster
    cluster.command("scancel", "--user", "root", check=False)
    if "slurmctld" not in cluster.daemons:
        cluster.start_controller()
    for node in set(cluster.nodes) - set(cluster.daemons):
        cluster.start_node(node)
    wait_for(lambda: set(cluster.node_states().values()) == {"idle"}, 60, "all nodes are idle")


def begin(run, cluster):
    """Start, wait until a training has made some epochs on the cluster, and give Snakemake and the training's job."""
    snakemake = run.start("evaluate")

    def trains():
        assert snakemake.poll() is None, run.log()[-6000:]
        return cluster.running("train_lesion_fold") and progress(run)

    wait_for(trains, 300, "a training runs")
    fold = progress(run)[0]
    return snakemake, next(job for job in cluster.running("train_lesion_fold") if job["rule"].endswith(f"fdg_{fold}"))


def progress(run) -> list[str]:
    """Folds whose training has made an epoch."""
    return [path.parent.name.removeprefix("fold_") for path in run.folder.glob("results/training/fdg/*/progress.json")]


def require_same(run, quiet, snakemake=None) -> None:
    """The run comes to its end with the tables and networks of the quiet one."""
    if snakemake:
        assert snakemake.wait(timeout=900) == 0, run.log()[-6000:]
    assert run.tables(TABLES) == quiet.tables(TABLES)
    for fold in FOLDS:
        ours, theirs = (
            torch.load(one.folder / fold, map_location="cpu", weights_only=False)["network_weights"]
            for one in (run, quiet)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def resumed(run) -> bool:
    """True if a training has gone on from a checkpoint."""
    logs = run.folder.glob("results/training/fdg/*/*/**/training_log*.txt")
    return any("going on after epoch" in log.read_text() for log in logs)


@on_request
def test_over_its_time_budget_it_stops_at_a_checkpoint_and_goes_on(healthy, on_cluster, prepared, quiet, tmp_path):
    limits = {"time_budget_min": "'0.25'", "runtime": 5, "local_copy": 1}
    run = on_cluster(tmp_path, {"train_lesion_fold": limits}, begun=prepared)
    run.finish("evaluate", "--retries=12")
    assert "Trying to restart" in run.log()
    assert resumed(run)
    require_same(run, quiet)


@on_request
def test_over_its_time_limit_it_is_killed_and_goes_on(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, {"train_lesion_fold": {"time_budget_min": 60, "runtime": 2}}, begun=prepared)
    snakemake, job = begin(run, healthy)
    healthy.pause(job["id"], TRAINING)
    require_same(run, quiet, snakemake)
    assert "TIMEOUT" in run.log()
    assert resumed(run)


@on_request
def test_over_its_memory_it_comes_back_with_more(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, {"train_lesion_fold": {"mem_mb": "attempt * 600"}}, begun=prepared)
    run.finish("evaluate")
    assert "Trying to restart" in run.log()
    assert any("oom" in log.read_text().lower() for log in run.folder.glob("logs/slurm/rule_train_lesion_fold/*/*.log"))
    require_same(run, quiet)


@on_request
def test_a_cancelled_training_goes_on(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, begun=prepared)
    snakemake, job = begin(run, healthy)
    healthy.command("scancel", job["id"])
    require_same(run, quiet, snakemake)
    assert "CANCELLED" in run.log()
    assert resumed(run)


@on_request
def test_a_training_whose_node_dies_goes_on_elsewhere(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, begun=prepared)
    snakemake, job = begin(run, healthy)
    healthy.kill_node(job["node"], processes=True)
    require_same(run, quiet, snakemake)
    assert resumed(run)


@on_request
def test_a_lost_training_that_computes_on_makes_way(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, begun=prepared)
    snakemake, job = begin(run, healthy)
    folder = run.folder / "results" / "training" / "fdg" / f"fold_{job['rule'][-1]}"
    (owner,), (log,) = folder.glob("*/owner"), folder.rglob("training_log*.txt")
    whose = owner.read_text()
    healthy.kill_node(job["node"], processes=False)
    lost = healthy.pause(job["id"], TRAINING)  # until its successor is there, which takes some minutes
    told = log.read_text()
    wait_for(lambda: owner.read_text() != whose, 300, "the training begins again")
    healthy.wake(lost)
    wait_for(lambda: healthy.ended(lost), 60, "the lost training ends")
    assert log.read_text() == told
    require_same(run, quiet, snakemake)
    assert resumed(run)


@on_request
def test_a_restart_of_the_controller_is_survived(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, begun=prepared)
    snakemake, _ = begin(run, healthy)
    healthy.stop_controller()
    time.sleep(15)
    healthy.start_controller()
    require_same(run, quiet, snakemake)


@on_request
def test_after_a_kill_of_snakemake_no_job_is_doubled(healthy, on_cluster, prepared, quiet, tmp_path):
    run = on_cluster(tmp_path, begun=prepared)
    snakemake, job = begin(run, healthy)
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    assert run.start("evaluate").wait(timeout=300) != 0
    assert "cannot be locked" in run.log()
    run.finish("--unlock")
    assert run.start("evaluate").wait(timeout=300) != 0
    assert "of an earlier run still wait or run" in run.log()
    assert f"scancel --name {job['name']}" in status(run)
    healthy.command("scancel", "--name", job["name"])
    wait_for(lambda: not healthy.jobs(), 60, "the orphans are gone")
    run.finish("evaluate")
    assert resumed(run)
    require_same(run, quiet)


def status(run) -> str:
    """What `clickpet status` prints about the run."""
    command = [sys.executable, "-c", "from clickpet.cli.app import app; app()", "status", str(run.folder)]
    return subprocess.run(
        command, env={**os.environ, **run.environment}, capture_output=True, text=True, check=True
    ).stdout
