"""Jobs as Snakemake hands them to scripts, so that a test can run a script without a workflow."""

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from snakemake.iocontainers import Namedlist

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run_script(name: str, *, input: Mapping, output: Mapping, log: Path, params: Mapping | None = None) -> None:
    """Run `scripts/{name}.py` on named files (a path or a list of paths each) in this process."""
    job = SimpleNamespace(
        input=_named(input),
        output=_named(output),
        params=Namedlist(fromdict=dict(params or {})),
        log=[str(log)],
        threads=1,
        resources=Namedlist(fromdict={"gpu": 0}),
    )
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        runpy.run_path(str(SCRIPTS / f"{name}.py"))["main"](job)
    finally:  # scripts send what they print to their log, on the level of file descriptors
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)


def _named(files: Mapping) -> Namedlist:
    """As Snakemake makes them: all files in one list, and slices of it under their names."""
    named = Namedlist()
    for name, paths in files.items():
        start = len(named)
        if isinstance(paths, list | tuple):
            named.extend(str(path) for path in paths)
            named._set_name(name, start, end=len(named))
        else:
            named.append(str(paths))
            named._set_name(name, start)
    return named
