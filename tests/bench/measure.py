"""Seconds and memory of one call, and the row of the table that they make.

A bench file holds `rows()`, which yields dictionaries made by `compare`. The keys are those of ROW;
None means "does not apply" and is printed as a dash.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable

#: Keys of a row: name of the step, best seconds of the plain reference and of ours, their ratio, the
#: ratio that is promised, peak memory beyond the inputs over the size of the largest input, its
#: promised limit, and a remark.
ROW = ("name", "reference_s", "ours_s", "ratio", "goal", "memory", "memory_goal", "note")
_STATUS = "/proc/self/status"
_CLEAR = "/proc/self/clear_refs"


def compare(
    name: str,
    reference: Callable[[], object] | None,
    ours: Callable[[], object],
    *,
    goal: float | None = None,
    largest_input: int | None = None,
    memory_goal: float | None = 1.5,
    reference_s: float | None = None,
    reference_scale: float = 1.0,
    reference_repeats: int = 1,
    repeats: int = 5,
    note: str = "",
) -> dict:
    """Measure `ours` against `reference` in this process and give a row.

    reference : the definition, written straightforwardly (None: only ours is measured);
    goal : the promised ratio;  largest_input : bytes of the largest input array (None: memory is not
    measured);  reference_s : seconds of the whole reference, where the caller measured them;
    reference_scale : factor from what `reference` did to the whole work, where only a part was run
    (say so in `note`).
    """
    ours_s = best_seconds(ours, repeats=repeats)
    memory = None if largest_input is None else peak_extra_bytes(ours) / largest_input
    if reference is not None:
        reference_s = best_seconds(reference, repeats=reference_repeats) * reference_scale
    return {
        "name": name,
        "reference_s": reference_s,
        "ours_s": ours_s,
        "ratio": None if reference_s is None else reference_s / ours_s,
        "goal": goal,
        "memory": memory,
        "memory_goal": None if memory is None else memory_goal,
        "note": note,
    }


def skipped(name: str, reason: str) -> dict:
    """The row of what could not be measured, with the reason."""
    return {**dict.fromkeys(ROW), "name": name, "note": f"skipped: {reason}"}


def best_seconds(call: Callable[[], object], *, repeats: int = 5) -> float:
    """Wall-clock seconds of the fastest of `repeats` calls."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def peak_extra_bytes(call: Callable[[], object]) -> int:
    """Most resident memory that `call` needed at any moment beyond what was there before it.

    Everything counts: results, temporaries, and what compiled libraries allocate. On Linux the
    kernel's own high-water mark of this process is reset and read again; elsewhere the call runs in
    a forked child and its `ru_maxrss` is read.
    """
    _give_back_free_memory()
    try:
        with open(_CLEAR, "w") as file:
            file.write("5")
        before = _status_bytes("VmRSS")
        reset_works = _status_bytes("VmHWM") < before + 2**20
    except OSError:
        reset_works = False
    if not reset_works:
        return _peak_extra_bytes_forked(call)
    kept = call()
    peak = _status_bytes("VmHWM")
    del kept
    return max(0, peak - before)


def _status_bytes(field: str) -> int:
    with open(_STATUS) as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")


def _give_back_free_memory() -> None:
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _peak_extra_bytes_forked(call: Callable[[], object]) -> int:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        sender.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)

    process = context.Process(target=child)
    process.start()
    sender.close()
    extra = receiver.recv()
    process.join()
    return extra


def machine() -> str:
    """The machine in a few words: processor, cores that may be used, versions."""
    import platform

    import numpy as np

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GB, Python {platform.python_version()}, numpy {np.__version__}"
