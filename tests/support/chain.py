"""The whole chain on a few phantom studies, in a folder of its own: shared by tests that run it for real."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
CONFIG = """
cohort: few.tsv
folds: [0, 1]
tracer: {epochs: 40}
train: {epochs: 2, iterations_per_epoch: {fdg: 6, psma: 6}, validation_iterations: 1}
evaluate: {click_steps: [0, 1, 10], bootstrap_repeats: 50}
"""
#: Train: two patients of each tracer; one test study; the new patient whose tracer is not told.
CHOSEN = ["fdg train", "fdg train", "psma train", "psma train", "psma test", " predict"]
TABLES = ("scores.tsv", "summary.tsv", "interactive.tsv", "interactive_summary.tsv", "splits.json", "cohort.tsv")


def choose_rows(kinds: list[str] = CHOSEN) -> tuple[list[str], list[dict]]:
    """Columns of the phantom's cohort table and a row of another patient for each kind ("tracer split")."""
    with open(ROOT / "config" / "phantom_cases.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    chosen, patients = [], set()
    for kind in kinds:
        row = next(row for row in rows if f"{row['tracer']} {row['split']}" == kind and row["patient"] not in patients)
        patients.add(row["patient"])
        chosen.append(row)
    return list(rows[0]), chosen


class Run:
    """A run of the workflow in a folder of its own, with a profile and environment variables."""

    def __init__(
        self,
        folder: Path,
        profile: str = "profiles/demo",
        environment: dict[str, str] | None = None,
        *,
        config: str = CONFIG,
        kinds: list[str] = CHOSEN,
        begun: Path | None = None,
    ):
        """config, kinds : the preset and what to choose from the cohort, unless `folder` holds a run already;
        begun : folder of a run to go on with, which is copied.
        """
        self.folder = folder
        self.environment = environment or {}
        presets = ["config/config.yaml", "config/demo.yaml", "few.yaml"]
        self.command = [sys.executable, "-m", "snakemake", "--profile", profile, "--configfile", *presets, "--"]
        if begun:
            shutil.copytree(begun, folder, symlinks=True, dirs_exist_ok=True)
        if (folder / "few.yaml").exists():
            return
        for name in ("rules", "config", "envs", "profiles", "scripts", "clickpet"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "Snakefile", folder)
        names, rows = choose_rows(kinds)
        with open(folder / "few.tsv", "w", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
        (folder / "few.yaml").write_text(config)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake (for targets, or with options) and do not wait for it."""
        options = [word for word in arguments if word.startswith("--")]
        targets = [word for word in arguments if not word.startswith("--")]
        log = open(self.folder / "snakemake.log", "a")  # noqa: SIM115 (the process writes to it)
        return subprocess.Popen(
            [*self.command[:3], *options, *self.command[3:], *targets],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> str:
        """Run to the end; returns everything that Snakemake has said in this folder."""
        code = self.start(*arguments).wait(timeout=1500)
        assert code == 0, self.log()[-6000:]
        return self.log()

    def log(self) -> str:
        """What Snakemake has said in this folder."""
        return (self.folder / "snakemake.log").read_text()

    def kill_when(self, pattern: str) -> None:
        """Start (without a lock, which would be left), and SIGKILL everything as soon as a file matches `pattern`."""
        process = self.start("--nolock")
        deadline = time.time() + 900
        while not any(self.folder.glob(pattern)):
            assert process.poll() is None, self.log()[-6000:]
            assert time.time() < deadline, f"nothing matches {pattern}"
            time.sleep(0.05)
        for started in [*psutil.Process(process.pid).children(recursive=True), process]:
            started.kill()
        process.wait()

    def tables(self, names: tuple[str, ...] = TABLES) -> dict[str, str]:
        """Names and texts of tables of results."""
        return {name: (self.folder / "results" / name).read_text() for name in names}

    def case(self, slug: str) -> Path:
        """Folder of a case."""
        return self.folder / "results" / "cases" / slug

    def rows(self, table: str) -> list[dict]:
        """Rows of a table of results."""
        with open(self.folder / "results" / table, newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))
