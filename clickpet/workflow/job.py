"""What every script of the workflow does around its one library call."""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickpet.errors import InputError
from clickpet.workflow.gpus import own_gpus
from clickpet.workflow.startup import light_imports


@contextmanager
def logged(log: str | Path, threads: int = 1, gpus: int = 0) -> Iterator[None]:
    """Send everything the process prints to `log`; end with one clear line if it fails.

    Works on file descriptors, so that output of compiled libraries and child processes is caught.
    Sets the thread counts of OpenMP, ITK and torch to `threads`, because those libraries take every
    core of a node whatever was allocated. Waits for `gpus` free GPUs where there are any. An InputError
    ends the job with its one line on the terminal and exit code 1; any other error leaves its traceback
    in the log and a pointer to it.
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
        with own_gpus(gpus):
            yield
    except InputError as error:
        print(f"clickpet: error: {error}", file=sys.stderr)
        os.write(terminal, f"clickpet: error: {error}\n".encode())
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        os.write(terminal, f"clickpet: {type(error).__name__}: {error} (whole story in {log})\n".encode())
        sys.exit(1)


def set_threads(threads: int) -> None:
    """Let numerical libraries use `threads` threads, whether they are imported already or later."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(threads)
    if "SimpleITK" in sys.modules:
        sys.modules["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
