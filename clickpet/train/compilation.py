"""Whether torch.compile can work on this machine."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def compile_obstacle() -> str | None:
    """Why torch.compile would fail for a GPU, or None: it needs a C compiler and Python's headers."""
    compiler = os.environ.get("CC")
    if not (shutil.which(compiler) if compiler else shutil.which("gcc") or shutil.which("clang")):
        return f"there is no C compiler {compiler}" if compiler else "there is no C compiler (gcc or clang)"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"Python's headers are not in {headers}"
    return None
