"""Provenance of a run: configuration, data, software, seeds, and time and memory of each job.

Nothing here names a person, a machine or a place on its disks.
"""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import clickpet

#: Distributions whose versions decide what comes out.
PACKAGES = (
    "snakemake",
    "nnunetv2",
    "dynamic-network-architectures",
    "batchgenerators",
    "batchgeneratorsv2",
    "torch",
    "TotalSegmentator",
    "SimpleITK",
    "nibabel",
    "connected-components-3d",
    "numpy",
    "scipy",
    "pandas",
    "pydicom",
    "highdicom",
    "matplotlib",
)
_WHOLE_PATH = re.compile(r"^(file://|~|/|\\\\|[A-Za-z]:[/\\])")
_PATH_INSIDE = re.compile(r"(?<![\w./\\-])(?:file://|~|[A-Za-z]:)?[/\\](?:[^/\\\s]+[/\\])*(?=[^/\\\s])")
_GIT_TIMEOUT_S = 30


def gather_provenance(
    config: Mapping,
    *,
    cohort_table: str | Path | None,
    cohort: str | Path,
    checkout: str | Path | None = None,
    benchmarks: str | Path | None = None,
    results: Sequence[str | Path] = (),
) -> dict:
    """Everything one needs to know to repeat a run, as plain JSON values.

    config : the resolved configuration;  cohort_table : the user's table (config key `cohort`), None if it is
    gone;  cohort : `cohort.tsv` as ingested;  checkout : root of the project's git checkout (default: where the
    package lies);  benchmarks : folder of Snakemake's `{rule}/{job}.tsv`;  results : files whose SHA-256 is kept.
    """
    rows = _rows(cohort)
    return {
        "clickpet": clickpet.__version__,
        "git": git_state(checkout or Path(clickpet.__file__).parents[1]),
        "config": without_paths(config),
        "cohort": {
            "table_sha256": file_sha256(cohort_table) if cohort_table and Path(cohort_table).is_file() else None,
            "cohort_tsv_sha256": file_sha256(cohort),
            "studies": len(rows),
            "patients": len({row.get("patient") for row in rows}),
        },
        "seeds": seeds_of(config),
        "versions": versions(),
        "platform": {
            "python": platform.python_version(),
            "system": platform.system(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
        "results_sha256": {Path(path).name: file_sha256(path) for path in results},
        **(job_costs(benchmarks) if benchmarks else {"rules": [], "jobs": {}}),
    }


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def without_paths(value: object) -> object:
    """`value` with every absolute path in its strings cut to its last part (``…/cases.tsv``)."""
    if isinstance(value, Mapping):
        return {str(key): without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        return value
    if _WHOLE_PATH.match(value):
        return "…/" + re.split(r"[/\\]", value.rstrip("/\\"))[-1].lstrip("~")
    return _PATH_INSIDE.sub("…/", value)


def seeds_of(config: Mapping) -> dict[str, int]:
    """Every key named `seed` of a configuration, by its dotted name: {"seed": 42, "clicks.seed": 42}."""
    found = {}
    for key, value in config.items():
        if key == "seed":
            found["seed"] = value
        elif isinstance(value, Mapping):
            found.update({f"{key}.{name}": seed for name, seed in seeds_of(value).items()})
    return found


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Installed versions of `packages`; None for one that is not installed. Imports none of them."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_state(checkout: str | Path) -> dict | None:
    """{"commit": 40 hex digits, "dirty": bool} of the git checkout rooted at `checkout`.

    None where that folder is not the root of a checkout, has no commit, or git is missing: never an error.
    """
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != Path(checkout).resolve():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: str | Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def job_costs(benchmarks: str | Path) -> dict:
    """Times and memory of every job, from the files Snakemake's `benchmark:` wrote.

    benchmarks : folder with `{rule}/{anything}.tsv`; a file with several rows (repeats) counts as the row
    with the longest time.  Returns {"rules": [{"rule", "jobs", "seconds_total", "seconds_median", "seconds_max",
    "memory_mb_max", "cpu_seconds_total"}, ...] by falling total time, "jobs": {rule: {job: {"seconds",
    "memory_mb", "cpu_seconds"}}}}. A job too short to be measured has None for memory and CPU time; files that
    are not benchmarks or are half written are passed over.
    """
    folder = Path(benchmarks)
    jobs: dict[str, dict[str, dict]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        parts = path.relative_to(folder).with_suffix("").parts
        cost = _cost(path)
        if cost is not None:
            jobs.setdefault(parts[0], {})["/".join(parts[1:]) or parts[0]] = cost
    rules = [_rule_cost(rule, list(costs.values())) for rule, costs in jobs.items()]
    rules.sort(key=lambda entry: (-entry["seconds_total"], entry["rule"]))
    return {"rules": rules, "jobs": jobs}


def _cost(path: Path) -> dict | None:
    rows = [row for row in _rows(path) if _number(row.get("s")) is not None]
    if not rows:
        return None
    row = max(rows, key=lambda entry: _number(entry["s"]))
    return {
        "seconds": _number(row["s"]),
        "memory_mb": _number(row.get("max_rss")),
        "cpu_seconds": _number(row.get("cpu_time")),
    }


def _rule_cost(rule: str, costs: list[dict]) -> dict:
    seconds = [cost["seconds"] for cost in costs]
    memory = [cost["memory_mb"] for cost in costs if cost["memory_mb"] is not None]
    cpu = [cost["cpu_seconds"] for cost in costs if cost["cpu_seconds"] is not None]
    return {
        "rule": rule,
        "jobs": len(costs),
        "seconds_total": round(sum(seconds), 2),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_max": round(max(seconds), 2),
        "memory_mb_max": max(memory, default=None),
        "cpu_seconds_total": round(sum(cpu), 2) if cpu else None,
    }


def _rows(path: str | Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def _number(text: str | None) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
