"""SIGTERM and SIGHUP as an exception, so that temporary folders and child processes do not outlive the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What a batch system, `kill`, a container that is stopped and a closed terminal send.
TERMINATION = (signal.SIGTERM, signal.SIGHUP)


class TerminatedError(SystemExit):
    """This process was told to end by a signal; `code` is 128 + the signal's number, as shells have it."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


@contextmanager
def termination_as_exception() -> Iterator[None]:
    """Raise TerminatedError in the main thread when SIGTERM or SIGHUP comes; further ones are ignored from then on.

    Handlers that somebody else has set, as `nohup` does, stay. Other threads than the main one change nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != process:  # a forked worker, which has nothing to clean up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for one in installed:
            signal.signal(one, signal.SIG_IGN)
        raise TerminatedError(number)

    installed = [number for number in TERMINATION if signal.getsignal(number) is signal.SIG_DFL]
    for number in installed:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in installed:
            signal.signal(number, signal.SIG_DFL)


def end_workers() -> None:
    """Send SIGTERM to this process's `multiprocessing` workers, which Python would wait for at exit."""
    if "multiprocessing" in sys.modules:
        for worker in sys.modules["multiprocessing"].active_children():
            worker.terminate()
