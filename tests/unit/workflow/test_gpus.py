"""GPUs of one's own, with processes for jobs and a made-up nvidia-smi."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clickpet.errors import InputError
from clickpet.workflow.gpus import VISIBLE, own_gpus

HOLD = """
import os, sys
from clickpet.workflow.gpus import own_gpus
with own_gpus(int(sys.argv[1]), folder=sys.argv[2]):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with two GPUs; the folder for locks."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf 'GPU-one\\nGPU-two\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.delenv(VISIBLE, raising=False)
    return tmp_path


@pytest.fixture
def job(machine):
    """Starts processes that hold so many GPUs until they are told to end."""
    started = []

    def start(count: int) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(count), str(machine)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_jobs_get_two_gpus_and_a_third_waits_for_one_that_is_killed(job, machine):
    first, second = job(1), job(1)
    assert {first.stdout.readline(), second.stdout.readline()} == {"GPU-one\n", "GPU-two\n"}
    third = job(1)
    assert "waiting for 1 of 2 GPUs" in third.stdout.readline()
    os.kill(first.pid, signal.SIGKILL)
    assert third.stdout.readline().startswith("GPU-")


def test_a_job_on_both_waits_without_keeping_one(job, machine):
    first = job(1)
    first.stdout.readline()
    both = job(2)
    assert "waiting for 2 of 2 GPUs" in both.stdout.readline()
    other = job(1)
    assert other.stdout.readline() == "GPU-two\n"
    for process in (first, other):
        process.communicate("\n")
    assert both.stdout.readline() == "GPU-one,GPU-two\n"


def test_more_than_there_are_is_an_error(machine):
    with pytest.raises(InputError, match="3 GPUs are asked for, this machine has 2"), own_gpus(3, folder=machine):
        pass


def test_what_the_scheduler_chose_stays(machine, monkeypatch):
    monkeypatch.setenv(VISIBLE, "5")
    with own_gpus(1, folder=machine):
        assert os.environ[VISIBLE] == "5"
    assert not list(machine.glob("*.lock"))


@pytest.mark.parametrize("text", ["#!/bin/sh\necho no driver; exit 9\n", None])
def test_without_gpus_nothing_is_held(machine, monkeypatch, text):
    tool = machine / "bin" / "nvidia-smi"
    tool.write_text(text) if text else tool.unlink()
    with own_gpus(1, folder=machine):
        assert VISIBLE not in os.environ


def test_afterwards_the_gpu_is_free(machine):
    for _ in range(2):
        begun = time.monotonic()
        with own_gpus(2, folder=machine):
            assert os.environ[VISIBLE] == "GPU-one,GPU-two"
        assert VISIBLE not in os.environ
        assert time.monotonic() - begun < 2
