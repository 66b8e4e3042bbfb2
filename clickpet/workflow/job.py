"""What every script of the workflow does around its one library call."""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clickpet.errors import InputError, from_os_error
from clickpet.workflow.gpus import own_gpus
from clickpet.workflow.signals import TerminatedError, end_workers, termination_as_exception
from clickpet.workflow.startup import light_imports

#: What to do for a job whose memory ran out.
MORE_MEMORY = "give it more memory (mem_mb of its rule in the profile), or run fewer jobs at a time (--cores)"


@contextmanager
def logged(log: str | Path, threads: int = 1, gpus: int = 0) -> Iterator[None]:
    """Send everything the process prints to `log`; end with one clear line if it fails.

    Works on file descriptors, so that output of compiled libraries and child processes is caught.
    Sets the thread counts of OpenMP, ITK and torch to `threads`, because those libraries take every
    core of a node whatever was allocated. Waits for `gpus` free GPUs where there are any. An InputError
    ends the job with its one line on the terminal and exit code 1, and so do a refusal of the operating
    system, memory that has run out and SIGTERM, which passes through the job's clean-up; any other error
    leaves its traceback in the log and a pointer to it.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(log, "ab", buffering=0) as file:
        os.ftruncate(file.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable()
    set_threads(threads)
    light_imports()
    try:
        with termination_as_exception(), own_gpus(gpus):
            yield
    except TerminatedError as ended:
        end_workers()
        _tell(terminal, f"clickpet: error: ended by {ended.signal}, as a time limit, a batch system or `kill` send it")
        raise
    except InputError as error:
        _tell(terminal, f"clickpet: error: {error}")
        sys.exit(1)
    except OSError as error:
        traceback.print_exc()
        _tell(terminal, f"clickpet: error: {from_os_error(error)} (whole story in {log})")
        sys.exit(1)
    except MemoryError as error:
        traceback.print_exc()
        _tell(
            terminal,
            f"clickpet: error: memory ran out ({str(error) or 'no size told'}; whole story in {log}); {MORE_MEMORY}",
        )
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        _tell(terminal, f"clickpet: {type(error).__name__}: {error} (whole story in {log})")
        sys.exit(1)


def _tell(terminal: int, line: str) -> None:
    """Write a line to the log and to the terminal, which may be gone or its disk full."""
    line = " ".join(line.split("\n"))
    for stream in (2, terminal):
        with suppress(OSError):
            os.write(stream, f"{line}\n".encode(errors="replace"))


def set_threads(threads: int) -> None:
    """Let numerical libraries use `threads` threads, whether they are imported already or later."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(threads)
    if "SimpleITK" in sys.modules:
        sys.modules["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
