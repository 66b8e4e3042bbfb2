"""GPUs of one's own, with processes for jobs and a made-up nvidia-smi."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clickpet.errors import InputError
from clickpet.workflow.gpus import SCHEDULERS, VISIBLE, own_gpus, visible_gpus

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
    for name in (VISIBLE, *SCHEDULERS):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def job(machine):
    """Starts processes that hold so many GPUs until they are told to end."""
    started = []

    def start(count: int, *before: str) -> subprocess.Popen:
        command = [*before, sys.executable, "-c", HOLD, str(count), str(machine)]
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


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedulers_choice_among_the_gpus_here_stays_too(machine, monkeypatch, name):
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv(name, "17")
    with own_gpus(1, folder=machine):
        assert os.environ[VISIBLE] == "0,1"
    assert not list(machine.glob("*.lock"))


@pytest.mark.parametrize("given", ["0,1", "1,0", "GPU-one,GPU-two", "GPU-o, 1"])
def test_a_users_own_choice_is_shared_out(job, machine, monkeypatch, given):
    monkeypatch.setenv(VISIBLE, given)
    first, second = job(1), job(1)
    names = {name.strip() for name in given.split(",")}
    assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == names
    monkeypatch.delenv(VISIBLE)  # one lock a GPU, however it is called
    third = job(1)
    assert "waiting for 1 of 2 GPUs" in third.stdout.readline()
    first.kill()
    assert third.stdout.readline().startswith("GPU-")


def test_of_a_users_choice_no_more_is_taken_and_it_is_put_back(machine, monkeypatch):
    monkeypatch.setenv(VISIBLE, "1")
    with own_gpus(1, folder=machine):
        assert os.environ[VISIBLE] == "1"
        assert [path.name for path in machine.glob("*.lock")] == ["clickpet_GPU-two.lock"]
    assert os.environ[VISIBLE] == "1"
    with pytest.raises(InputError, match=f"2 GPUs are asked for, {VISIBLE}=1 names 1"), own_gpus(2, folder=machine):
        pass


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, {"GPU-ab": "GPU-ab", "GPU-ac": "GPU-ac"}),
        ("1", {"1": "GPU-ac"}),
        ("GPU-ac", {"GPU-ac": "GPU-ac"}),
        ("", {}),
        ("-1", {}),
        ("2", {}),
        ("0,2", {}),
        ("GPU-a", {}),
        ("MIG-12", {}),
        ("NoDevFiles", {}),
    ],
)
def test_what_a_choice_names(given, found):
    assert visible_gpus(["GPU-ab", "GPU-ac"], given) == found


def test_a_lock_can_be_taken_by_all_users_whatever_the_umask(machine):
    before = os.umask(0o077)
    try:
        with own_gpus(2, folder=machine):
            pass
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in machine.glob("*.lock")} == {0o444}


@pytest.fixture
def other_user(machine):
    """A command that starts another as a user who is not the owner of the locks."""
    if os.geteuid():
        pytest.skip("needs root, to become another user")
    for folder in (machine, *machine.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    machine.chmod(0o1777)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_another_user_waits_for_the_same_lock(job, machine, other_user):
    first = job(1)
    assert first.stdout.readline() == "GPU-one\n"
    second, third = job(1, *other_user), job(1, *other_user)
    lines = {second.stdout.readline(), third.stdout.readline()}
    assert lines == {"GPU-two\n", "waiting for 1 of 2 GPUs, which other jobs have\n"}
    assert len(list(machine.glob("*.lock"))) == 2


def test_a_lock_that_another_user_has_closed_is_no_obstacle(job, machine, other_user):
    (machine / "clickpet_GPU-one.lock").touch(0o600)
    first = job(2, *other_user)
    assert "clickpet_GPU-one.lock cannot be opened (Permission denied)" in first.stdout.readline()
    assert first.stdout.readline() == "GPU-one,GPU-two\n"
    assert (machine / "clickpet_GPU-one.65534.lock").is_file()


def test_a_link_in_place_of_a_lock_is_not_followed(machine):
    (machine / "clickpet_GPU-one.lock").symlink_to(machine / "elsewhere")
    with own_gpus(1, folder=machine):
        assert os.environ[VISIBLE] == "GPU-one"
    assert not (machine / "elsewhere").exists()


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
