"""How a job ends, in a process of its own: one line on the terminal, the whole story in its log."""

import signal
import subprocess
import sys

import pytest

JOB = """
import errno, os, signal, sys, time
from clickpet.errors import InputError
from clickpet.workflow.job import logged
from clickpet.workflow.local_copy import local_copy

with logged("job.log"):
    print("begun")
    {work}
"""


def run(tmp_path, work: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", JOB.format(work=work)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_output_goes_to_the_log(tmp_path):
    done = run(tmp_path, "os.system('echo child')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "job.log").read_text() == "begun\nchild\n"


@pytest.mark.parametrize(
    ("work", "line", "traceback"),
    [
        ("raise InputError('is bad', where='x')", "clickpet: error: x: is bad", False),
        ("open('absent')", "clickpet: error: absent: no such file or directory; correct the path", True),
        (
            "raise OSError(errno.ENOSPC, 'No space left on device', 'results/a')",
            "clickpet: error: results/a: no space left on device; free space there",
            True,
        ),
        ("raise MemoryError('Unable to allocate 9 TiB')", "clickpet: error: memory ran out (Unable to allocate", True),
        ("bytearray(1 << 62)", "clickpet: error: memory ran out (no size told; whole story in job.log)", True),
        ("raise RuntimeError('a\\nb')", "clickpet: RuntimeError: a b (whole story in job.log)", True),
    ],
)
def test_an_error_is_one_line(tmp_path, work, line, traceback):
    done = run(tmp_path, work)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    log = (tmp_path / "job.log").read_text()
    assert line in log
    assert ("Traceback" in log) is traceback


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_is_told_and_passes_through_the_clean_up(tmp_path, number):
    (tmp_path / "data").mkdir()
    for part in (".b2nd", "_seg.b2nd", ".pkl"):
        (tmp_path / "data" / f"a{part}").touch()
    (tmp_path / "disk").mkdir()
    work = (
        "with local_copy('data', ['a'], 'disk') as copy:\n"
        "        print(len(list(copy.iterdir())), 'copied')\n"
        f"        os.kill(os.getpid(), signal.{number})\n"
        "        time.sleep(60)"
    )
    done = run(tmp_path, work)
    assert done.returncode == 128 + signal.Signals[number]
    assert done.stderr.startswith(f"clickpet: error: ended by {number}")
    assert (tmp_path / "job.log").read_text() == f"begun\n3 copied\n{done.stderr}"
    assert list((tmp_path / "disk").iterdir()) == []


def test_workers_end_with_the_job(tmp_path):
    work = (
        "import multiprocessing\n"
        "    worker = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(60,))\n"
        "    worker.start()\n"
        "    print(worker.pid)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)"
    )
    done = run(tmp_path, work)  # would take a minute if Python waited for the worker
    assert done.returncode == 143
    worker = int((tmp_path / "job.log").read_text().splitlines()[1])
    assert not subprocess.run(["ps", "-o", "pid=", "-p", str(worker)], capture_output=True, check=False).stdout
