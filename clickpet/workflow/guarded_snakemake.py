"""Snakemake that ends, with all its jobs, when the process that started it has gone: `python -m` this module.

It has to be the leader of a process group, and its standard input a pipe whose other end its parent holds open.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

#: Seconds that jobs get to clean up after SIGTERM.
GRACE_S = 8.0
_LOOK_AGAIN_S = 0.1


def main() -> None:
    """Run Snakemake's command line."""
    threading.Thread(target=_end_without_parent, daemon=True).start()
    from snakemake.cli import main as snakemake

    snakemake()


def _end_without_parent() -> None:
    while os.read(0, 1):  # empty once nobody holds the other end, however the parent died
        pass
    end_group(os.getpgid(0))


def end_group(group: int) -> None:
    """Send SIGTERM to a process group, and SIGKILL to what is left of it after GRACE_S seconds."""
    deadline = time.monotonic() + GRACE_S
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
            os.killpg(group, 0)  # ProcessLookupError: it has no process any more
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
