"""What `clickpet status` reads out of files and logs."""

import json
import os
import time

import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.workflow.slurm_queue import QueuedJob
from clickpet.workflow.status import duration, last_run, report_status, trainings

HEAD = """
SNAKEMAKE
=========
  Host: login1

Job stats:
job                  count
-----------------  -------
import_case              2
train_lesion_fold        2
total                    4

"""
SLURM_ERROR = """[Wed Nov 25 21:01:02 2026]
Error in rule train_lesion_fold:
    message: SLURM-job '12' failed, SLURM status is: 'CANCELLED'. For further error details see the log.
    jobid: 7
    input: results/models/fdg/plans.json
    output: results/models/fdg/fold_0/checkpoint_final.pth
    log: logs/train_lesion_fold/fdg/0.log, /run/logs/slurm/12.log (check log file(s) for error details)
    external_jobid: 12

Trying to restart job 7.
"""
GROUP_ERROR = """Error in group 0a1b:
    message: SLURM-job '13' failed, SLURM status is: 'FAILED'.
    external_jobid: 13
    jobs:
        rule import_case:
            jobid: 2
            output: results/cases/a/ct.nii.gz
            log: logs/import_case/a.log (check log file(s) for error details)
        rule import_case:
            jobid: 3
            output: results/cases/b/ct.nii.gz
            log: logs/import_case/b.log (check log file(s) for error details)

"""
FINISHED = "Finished jobid: 7 (Rule: train_lesion_fold)\n1 of 4 steps (25%) done\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder; no SLURM."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    (tmp_path / ".snakemake" / "log").mkdir(parents=True)
    return tmp_path


def write_log(folder, *parts: str) -> None:
    (folder / ".snakemake" / "log" / "2026-11-25T190000.1.snakemake.log").write_text(HEAD + "".join(parts))


def train(folder, fold: int, epoch: int, seconds_ago: float = 0, done: bool = False) -> None:
    place = folder / "results" / "training" / "fdg" / f"fold_{fold}"
    place.mkdir(parents=True)
    (place / "progress.json").write_text(json.dumps({"epoch": epoch, "epochs": 10, "seconds_per_epoch": 3600}))
    os.utime(place / "progress.json", (time.time() - seconds_ago,) * 2)
    if done:
        final = folder / "results" / "models" / "fdg" / f"fold_{fold}"
        final.mkdir(parents=True)
        (final / "checkpoint_final.pth").touch()


def test_the_wait_for_data_is_shown_where_it_is_known(folder):
    train(folder, 0, epoch=4)
    train(folder, 1, epoch=4)
    progress = folder / "results" / "training" / "fdg" / "fold_1" / "progress.json"
    progress.write_text(json.dumps({**json.loads(progress.read_text()), "data_wait_share": 0.126}))
    assert [one.data_wait for one in trainings(folder, [])] == [None, 0.126]
    rows = [line.split() for line in report_status(folder).splitlines() if line.startswith("  fdg")]
    assert [row[4] for row in rows] == ["-", "13%"]


def queued(fold: int, state: str) -> QueuedJob:
    return QueuedJob(
        str(fold), state, "clickpet_x", "1:00", "9:00", "n1", "None", "/run", "train_lesion_fold", f"fdg_{fold}"
    )


def test_steps_are_counted_by_rule(folder):
    write_log(folder, FINISHED)
    run = last_run(folder)
    assert (run.host, run.done, run.total, run.ended) == ("login1", 1, 4, False)
    assert run.planned == {"import_case": 2, "train_lesion_fold": 2}
    assert run.finished == {"train_lesion_fold": 1}


def test_a_failure_names_its_logs_and_how_often(folder):
    write_log(folder, SLURM_ERROR, SLURM_ERROR)
    (failure,) = last_run(folder).failures
    assert (failure.rule, failure.times) == ("train_lesion_fold", 2)
    assert failure.logs == ["logs/train_lesion_fold/fdg/0.log", "/run/logs/slurm/12.log"]


def test_a_failure_that_a_retry_has_mended_is_forgotten(folder):
    write_log(folder, SLURM_ERROR, FINISHED)
    assert last_run(folder).failures == []


def test_the_members_of_a_failed_group_are_told_one_by_one(folder):
    submitted = "Job 0a1b has been submitted with SLURM jobid 13 (log: /run/logs/slurm/13.log).\n"
    write_log(folder, submitted, GROUP_ERROR)
    assert [failure.logs for failure in last_run(folder).failures] == [
        [f"logs/import_case/{case}.log", "/run/logs/slurm/13.log"] for case in ("a", "b")
    ]


def test_the_last_log_counts(folder):
    write_log(folder, SLURM_ERROR)
    newer = folder / ".snakemake" / "log" / "2026-11-25T200000.1.snakemake.log"
    newer.write_text(HEAD)
    os.utime(newer, (time.time() + 9,) * 2)
    assert last_run(folder).failures == []


def test_trainings_tell_their_epochs_time_and_state(folder):
    train(folder, 0, epoch=4)
    train(folder, 1, epoch=10, done=True)
    train(folder, 2, epoch=3, seconds_ago=1e6)
    train(folder, 3, epoch=3, seconds_ago=1e6)
    found = trainings(folder, [queued(3, "RUNNING"), queued(4, "PENDING")])
    assert [one.state for one in found] == ["running", "done", "stopped", "running", "waiting"]
    assert [one.remaining_s for one in found] == [6 * 3600, None, 7 * 3600, 7 * 3600, None]
    assert [one.fold for one in found] == list("01234")


def test_the_report_shows_what_a_person_needs(folder):
    write_log(folder, SLURM_ERROR)
    train(folder, 0, epoch=4)
    log = folder / "logs" / "train_lesion_fold" / "fdg" / "0.log"
    log.parent.mkdir(parents=True)
    log.write_text("much\nclickpet: error: the disk is full\n")
    text = report_status(folder)
    assert "broke off, or runs on another machine" in text
    assert "4/10" in text
    assert "6 h 0 min" in text
    assert "clickpet: error: the disk is full" in text
    assert "train_lesion_fold (SLURM: CANCELLED): logs/train_lesion_fold/fdg/0.log" in text
    assert "import_case        0/2" in text


LOCAL_ERROR = """Error in rule import_case:
    message: None
    jobid: 7
    output: results/cases/a/ct.nii.gz
    log: logs/import_case/a.log (check log file(s) for error details)

"""


@pytest.mark.parametrize(
    ("log", "killed"),
    [("", True), ("patch 3 of 9\n", True), ("Traceback ...\nclickpet: KeyError: 1 (whole story in x)\n", False)],
)
def test_a_job_that_was_killed_is_told_from_one_that_failed(folder, log, killed):
    write_log(folder, LOCAL_ERROR)
    (folder / "logs" / "import_case").mkdir(parents=True)
    (folder / "logs" / "import_case" / "a.log").write_text(log)
    assert ("it was killed, most likely because memory ran out" in report_status(folder)) is killed


def test_a_folder_without_a_run_says_so(folder):
    done = CliRunner().invoke(app, ["status", str(folder)])
    assert done.exit_code == 0
    assert "No run of Snakemake in this folder yet" in done.output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (90, "2 min"), (3599, "1 h 0 min"), (86400, "1 d 0 h"), (float("inf"), "-")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def started(job: int, rule: str, wildcards: str, seconds_ago: float) -> str:
    stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() - seconds_ago))
    lines = [f"[{stamp}]", f"rule {rule}:", "    input: a", f"    jobid: {job}", f"    wildcards: {wildcards}", "", ""]
    return "\n".join(lines)


def test_what_runs_now_is_named_with_its_time(folder, monkeypatch):
    monkeypatch.setattr("clickpet.workflow.status.controllers", lambda _: [4711])
    write_log(
        folder,
        started(7, "train_lesion_fold", "tracer=fdg, fold=0", 4000),
        started(2, "import_case", "case=a", 65),
        started(3, "import_case", "case=b", 310),
        "Finished jobid: 2 (Rule: import_case)\n",
    )
    lines = [" ".join(line.split()) for line in report_status(folder).splitlines()]
    start = lines.index("Runs now")
    assert lines[start + 1 : start + 4] == [
        "rule of for",
        "train_lesion_fold tracer=fdg, fold=0 1 h 7 min",
        "import_case case=b 5 min",
    ]


def test_a_job_that_failed_or_whose_snakemake_has_gone_does_not_run(folder, monkeypatch):
    write_log(folder, started(7, "train_lesion_fold", "tracer=fdg, fold=0", 10))
    assert "Runs now" not in report_status(folder)  # no Snakemake is at work here
    monkeypatch.setattr("clickpet.workflow.status.controllers", lambda _: [4711])
    assert "Runs now" in report_status(folder)
    write_log(folder, started(7, "train_lesion_fold", "tracer=fdg, fold=0", 10), SLURM_ERROR)
    assert "Runs now" not in report_status(folder)
