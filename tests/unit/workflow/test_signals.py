"""SIGTERM passes through clean-ups."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from clickpet.workflow.signals import TerminatedError, termination_as_exception


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_an_exception_once(number, code):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # a second one must not stop the clean-up
            cleaned.append(True)

    with pytest.raises(TerminatedError) as caught, termination_as_exception():
        work()
    assert (caught.value.code, caught.value.signal, cleaned) == (code, signal.Signals(number).name, [True])
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_handler_of_somebody_else_stays():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with termination_as_exception():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_in_another_thread_nothing_changes():
    handlers = []

    def work():
        with termination_as_exception():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


def test_a_forked_worker_ends_as_if_there_were_no_handler():
    code = (
        "import os, signal, sys\n"
        "from clickpet.workflow.signals import termination_as_exception\n"
        "with termination_as_exception():\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('went on', flush=True)\n"
        "        os._exit(0)\n"
        "    print(os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{int(signal.SIGTERM)}\n"
