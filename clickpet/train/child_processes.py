"""Child processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

#: Option of Linux's prctl: the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1
LOOK_AGAIN_S = 2.0


def end_with(parent: int) -> None:
    """From now on this process is killed when the process `parent`, which made it, dies in whatever way."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)
        return

    def watch():
        while os.getppid() == parent:
            time.sleep(LOOK_AGAIN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
