"""Reading squeue, with a stand-in for the command."""

import os

import pytest

from clickpet.errors import InputError
from clickpet.workflow.slurm_queue import NoAnswerError, QueuedJob, queued_jobs, refuse_orphans


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Sets what squeue prints and its exit code."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()

    def say(text: str, code: int = 0) -> None:
        (tmp_path / "said").write_text(text)
        program = tmp_path / "bin" / "squeue"
        program.write_text(f"#!/bin/sh\ncat {tmp_path / 'said'}\necho broken >&2\nexit {code}\n")
        program.chmod(0o755)

    return say


def line(folder, job="12", name="clickpet_0a-1", comment="rule_train_lesion_fold_wildcards_fdg_0") -> str:
    return f"{job}|RUNNING|{name}|1:02|1-23:00:00|n1|None|{folder}|{comment}\n"


def test_a_line_becomes_a_job(squeue, tmp_path):
    squeue(line(tmp_path))
    place = {"nodes": "n1", "reason": "None", "folder": str(tmp_path)}
    what = {"rule": "train_lesion_fold", "wildcards": "fdg_0"}
    expected = QueuedJob("12", "RUNNING", "clickpet_0a-1", "1:02", "1-23:00:00", **place, **what)
    assert queued_jobs(tmp_path) == [expected]


def test_groups_have_no_wildcards_and_comments_may_hold_bars(squeue, tmp_path):
    squeue(line(tmp_path, comment="rule_prepare|x"))
    (job,) = queued_jobs(tmp_path)
    assert (job.rule, job.wildcards) == ("prepare|x", "")


def test_other_folders_and_other_programs_are_left_out(squeue, tmp_path):
    squeue(line(tmp_path / "other") + line(tmp_path, name="clickpetty") + line(tmp_path, name="7f0c"))
    assert queued_jobs(tmp_path) == []


def test_a_link_to_the_folder_is_the_folder(squeue, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    squeue(line(tmp_path / "link"))
    assert len(queued_jobs(tmp_path)) == 1


def test_orphans_are_refused_with_the_command_that_cancels_them(squeue, tmp_path):
    squeue(line(tmp_path) + line(tmp_path, job="13"))
    with pytest.raises(InputError, match=r"2 SLURM job.*12, 13.*scancel --name clickpet_0a-1$"):
        refuse_orphans(tmp_path, needs_slurm=False)


def test_an_empty_queue_is_no_reason_to_stop(squeue, tmp_path):
    squeue("")
    refuse_orphans(tmp_path, needs_slurm=True)


def test_no_answer_stops_only_who_needs_slurm(squeue, tmp_path):
    squeue("", code=1)
    refuse_orphans(tmp_path, needs_slurm=False)
    with pytest.raises(NoAnswerError, match="broken"):
        refuse_orphans(tmp_path, needs_slurm=True)


def test_without_slurm_there_is_no_queue(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queued_jobs(tmp_path) == []
