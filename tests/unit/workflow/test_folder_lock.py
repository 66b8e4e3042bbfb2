"""One process at a time in a folder, whatever becomes of it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from clickpet.errors import InputError
from clickpet.workflow.folder_lock import locked_folder

HOLD = """
import subprocess, sys, time
from clickpet.workflow.folder_lock import locked_folder
with locked_folder(sys.argv[1]) as lock:
    if sys.argv[2] == "child":
        print(subprocess.Popen(["sleep", "60"], pass_fds=[lock], stdout=subprocess.DEVNULL).pid, flush=True)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the folder, alone or with a child; its lines say when."""
    started = []

    def start(kind="alone"):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "work"), kind]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_folder_is_made_and_may_be_held_again_and_again(tmp_path):
    for _ in range(2):
        with locked_folder(tmp_path / "a" / "b", wait_s=0) as lock:
            assert isinstance(lock, int)
            assert (tmp_path / "a" / "b").is_dir()


def test_another_process_is_waited_for_and_then_named(holder, tmp_path):
    first = holder()
    assert first.stdout.readline() == "held\n"
    told = []
    with (
        pytest.raises(InputError, match=rf"work: is in use by process {first.pid} on .*; wait until it has ended"),
        locked_folder(tmp_path / "work", wait_s=0.3, progress=told.append),
    ):
        pytest.fail("held twice")
    assert told == [f"waiting for another process that works in {tmp_path / 'work'}"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_holds_nothing(holder, tmp_path, number):
    first = holder()
    first.stdout.readline()
    first.send_signal(number)
    with locked_folder(tmp_path / "work", wait_s=10):
        assert first.wait(10) == -number


def test_a_child_with_the_descriptor_holds_the_folder_on(holder, tmp_path):
    first = holder("child")
    child = int(first.stdout.readline())
    first.stdout.readline()
    first.kill()
    first.wait()
    with pytest.raises(InputError, match="is in use"), locked_folder(tmp_path / "work", wait_s=0.3):
        pytest.fail("held twice")
    os.kill(child, signal.SIGKILL)
    begun = time.monotonic()
    with locked_folder(tmp_path / "work", wait_s=10):
        assert time.monotonic() - begun < 5


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match="its file system gives no locks"), locked_folder(tmp_path / "work"):
        pytest.fail("held")
