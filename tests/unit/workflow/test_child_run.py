"""The workflow as a child process, with a stand-in for Snakemake: what is said, what is left, what stops it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clickpet.workflow import child_run
from clickpet.workflow.child_run import WorkflowFailedError, reason_of, run_workflow

#: `snakemake.cli` that does what the folder's file `todo.py` says.
STAND_IN = "def main():\n    exec(open('todo.py').read())\n"
#: Starts a job that lasts and ignores nothing; says so as Snakemake does.
LASTING = """
import subprocess, sys, time
job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("job.pid", "w").write(str(job.pid))
print("rule predict_case:", flush=True)
job.wait()
"""
START = """
import sys
from pathlib import Path
from clickpet.workflow.child_run import run_workflow
from clickpet.workflow.signals import termination_as_exception
with termination_as_exception():
    run_workflow(Path(sys.argv[1]), [], ["predict"], cores=1, progress=lambda step: print(step, flush=True))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder, with the stand-in ahead of Snakemake on the path."""
    package = tmp_path / "path" / "snakemake"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(folder, todo: str, **options):
    (folder / "todo.py").write_text(todo)
    return run_workflow(folder, [], ["predict"], cores=1, **options)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_steps_are_told_and_the_log_is_kept(folder):
    steps = []
    run(folder, "print('rule import_case:\\nlocalrule find_tracer:\\nlocalrule predict:')", progress=steps.append)
    assert steps == ["import case", "find tracer"]
    assert (folder / "snakemake.log").read_text() == "rule import_case:\nlocalrule find_tracer:\nlocalrule predict:\n"


def test_what_snakemake_is_asked_for(folder):
    run(folder, "import sys; print(sys.argv[1:])", forced_rules=["a", "b"])
    said = (folder / "snakemake.log").read_text()
    for words in ("'--nolock'", "'--forcerun', 'a', 'b', '--', 'predict'", f"'--directory', '{folder}'"):
        assert words in said


@pytest.mark.parametrize(
    ("lines", "code", "reason", "log"),
    [
        (
            ["x", "clickpet: error: pet.nii.gz: holds NaN; mend it", "Exiting"],
            1,
            "pet.nii.gz: holds NaN; mend it",
            None,
        ),
        (["config: tile_stp: no such key"], 1, "tile_stp: no such key", None),
        (
            ["clickpet: KeyError: 'a' (whole story in logs/predict_case/c-1.2.log)"],
            1,
            "KeyError: 'a' (whole story in logs/predict_case/c-1.2.log)",
            "logs/predict_case/c-1.2.log",
        ),
        (["OSError: disk full"], 1, "the workflow failed: OSError: disk full", "snakemake.log"),
        (
            ["rule import_case:", "localrule find_tracer:", "CalledProcessError: ... died with <Signals.SIGKILL: 9>."],
            1,
            "the step find tracer was killed (SIGKILL), most likely because memory ran out; give it more memory",
            "snakemake.log",
        ),
        (
            ["Error in rule predict_case:", "Command 'x' returned non-zero exit status 137."],
            1,
            "the step predict case was killed (SIGKILL), most likely because memory ran out",
            "snakemake.log",
        ),
        (["rule a:"], -9, "the workflow was ended by SIGKILL, most likely because memory ran out", "snakemake.log"),
        (["rule a:"], -15, "the workflow was ended by SIGTERM", "snakemake.log"),
        (["returned non-zero exit status 1370."], 1, "the workflow failed: returned", "snakemake.log"),
    ],
)
def test_the_reason_is_the_line_that_a_job_left_or_what_ended_it(lines, code, reason, log):
    found = reason_of(lines, code)
    assert found[0].startswith(reason)
    assert found[1] == log


FAILING = """
from pathlib import Path
Path("logs/a").mkdir(parents=True)
Path("logs/a/b.log").write_text("traceback of the job")
raise SystemExit("clickpet: KeyError: 'x' (whole story in logs/a/b.log)")
"""


@pytest.mark.parametrize("keep_logs", [True, False])
def test_the_log_that_an_error_points_to_is_there_afterwards(folder, keep_logs, tmp_path, monkeypatch):
    monkeypatch.setattr(child_run.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(WorkflowFailedError, match=r"^KeyError: 'x' \(whole story in /.*\.log\)$") as caught:
        run(folder, FAILING, keep_logs=keep_logs)
    assert str(caught.value.log) in str(caught.value)
    assert caught.value.log.read_text() == "traceback of the job"
    assert (folder in caught.value.log.parents) is keep_logs


def test_a_failure_without_a_line_keeps_all_that_was_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(child_run.tempfile, "tempdir", str(tmp_path))
    todo = "print('\\n'.join(f'line {n}' for n in range(40))); raise SystemExit(1)"
    with pytest.raises(WorkflowFailedError, match=r"failed: line 32 .* line 39; log: /") as caught:
        run(folder, todo, keep_logs=False)
    assert caught.value.log.read_text().splitlines() == [f"line {n}" for n in range(40)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_run_ends_with_the_process_that_started_it(folder, number):
    (folder / "todo.py").write_text(LASTING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(child_run.WORKFLOW)])}
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "predict case\n"
    job = int((folder / "job.pid").read_text())
    process.send_signal(number)
    assert process.wait(20) == {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: -2, signal.SIGKILL: -9}[number]
    process.communicate()
    assert gone(job, within_s=10)


def test_a_job_that_takes_no_hint_is_killed(folder, monkeypatch):
    monkeypatch.setattr("clickpet.workflow.guarded_snakemake.GRACE_S", 0.5)
    deaf = LASTING.replace("import time; time", "import signal, time; signal.signal(15, signal.SIG_IGN); time")
    begun = []

    def stop(step):
        time.sleep(0.5)  # until the job ignores the signal
        begun.append(int((folder / "job.pid").read_text()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, deaf, progress=stop)
    assert gone(begun[0], within_s=10)


def test_jobs_do_not_outlive_a_snakemake_that_was_killed(folder):
    todo = LASTING.replace("job.wait()", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(WorkflowFailedError, match="was ended by SIGKILL, most likely because memory ran out"):
        run(folder, todo)
    assert gone(int(Path(folder, "job.pid").read_text()), within_s=10)
