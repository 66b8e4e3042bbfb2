"""What experiments would cost before any runs: jobs, hours and storage that the base run does not have."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from clickpet.errors import InputError
from clickpet.workflow.child_run import WORKFLOW, reason_of, workflow_environment
from clickpet.workflow.experiments import BaseRun, Experiment
from clickpet.workflow.job_list import ASK, PlannedJob, read_job_list

#: Voxels of a study where the base run has no files yet: the mean of the 1,611 autoPET training studies.
MEAN_VOXELS = 65.7e9 / 1611
#: Bytes a voxel that a rule's outputs take on the disk, measured on a soft-tissue sarcoma study (docs/slurm.md).
BYTES_PER_VOXEL = {"import_case": 6.6, "draw_heatmap": 3.0, "preprocess_case": 8.5, "predict_interactive": 1.1}
#: Bytes of a lesion training: weights and momentum of 102.4 M parameters in float32, as final and as last checkpoint.
TRAINING_BYTES = 2 * 2 * 4 * 102.4e6


@dataclass(frozen=True)
class PlannedRun:
    """What a run adds to those before it.

    jobs : of its own;  shared : those that it has in common with the base run;  trainings : of lesion models;
    gpu_hours, hours : of the GPUs and of all jobs, by the base run's benchmark files where it has them, else by the
    jobs' time limits;  measured : all hours are by benchmarks;  gigabytes : of its own outputs, by the base run's files
    where it has them, else by MEAN_VOXELS.
    """

    name: str
    jobs: int
    shared: int
    trainings: int
    gpu_jobs: int
    gpu_hours: float
    hours: float
    measured: bool
    gigabytes: float


def plan_experiments(base: BaseRun, experiments: Sequence[Experiment], *, together: int = 1) -> list[PlannedRun]:
    """The base run and each experiment, planned by dry runs of Snakemake, `together` of them at a time.

    A job of an experiment is shared if the base run has one that is equal in rule, params, inputs and all jobs before
    it; so the plan is the same whether or not the base run is finished. The row of the base run counts the jobs that
    are still to be run.  Raises InputError where a plan cannot be made.
    """
    with ThreadPoolExecutor(max(1, together)) as pool:
        plans = list(pool.map(lambda changes: _dry_run(base, changes), [{}, *(one.changes for one in experiments)]))
    costs = _Costs(base.folder)
    first = [job for job in plans[0] if job.needed]
    rows = [costs.row("base run", first, shared=len(plans[0]) - len(first))]
    known = {job.signature for job in plans[0]}
    for experiment, jobs in zip(experiments, plans[1:], strict=True):
        own = [job for job in jobs if job.signature not in known]
        rows.append(costs.row(experiment.name, own, shared=len(jobs) - len(own)))
    return rows


def plan_table(rows: Sequence[PlannedRun]) -> str:
    """The plan as text, a line a run and their sum."""
    head = ("run", "jobs", "shared", "trainings", "GPU jobs", "GPU-hours", "hours of all jobs", "GB")
    lines = [head, *(_cells(row) for row in rows), _cells(_total(rows))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in cells)
        for cells in (list(enumerate(zip(line, widths, strict=True))) for line in lines)
    ]
    if not all(row.measured for row in rows):
        text.append("<= : by the jobs' time limits, for want of benchmark files of the base run")
    return "\n".join(text)


def _cells(row: PlannedRun) -> tuple[str, ...]:
    most = "" if row.measured else "<= "
    hours = (f"{most}{value:,.1f}" if value else "0" for value in (row.gpu_hours, row.hours))
    numbers = (f"{value:,}" for value in (row.jobs, row.shared, row.trainings, row.gpu_jobs))
    return (row.name, *numbers, *hours, f"{row.gigabytes:,.1f}")


def _total(rows: Sequence[PlannedRun]) -> PlannedRun:
    names = ("jobs", "shared", "trainings", "gpu_jobs", "gpu_hours", "hours", "gigabytes")
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return PlannedRun(name="all", measured=all(row.measured for row in rows), **sums)


def _dry_run(base: BaseRun, changes) -> list[PlannedJob]:
    with tempfile.TemporaryDirectory(prefix="clickpet-plan-") as folder:
        config, found = Path(folder, "changes.yaml"), Path(folder, "jobs.json")
        config.write_text(yaml.safe_dump(dict(changes), allow_unicode=True), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW / "Snakefile"), "--nolock"]
        command += ["--directory", str(base.folder.resolve()), "--dry-run", "--quiet", "all"]
        command += ["--profile", str(base.profile)] if base.profile else ["--cores", "1"]
        command += ["--configfile", *(str(Path(file).resolve()) for file in base.configs), str(config)]
        done = subprocess.run(
            command,
            cwd=WORKFLOW,
            env={**workflow_environment(), ASK: str(found)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or not found.is_file():
            raise InputError(f"no plan could be made: {reason_of(done.stdout.splitlines(), done.returncode)[0]}")
        return read_job_list(found)


class _Costs:
    """Hours and bytes of jobs, from the benchmark and result files of a finished run where it has them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.seconds = _mean_seconds(folder / "benchmarks")
        self.bytes: dict[tuple[str, ...], int] = {}
        self.mean_bytes: dict[str, float] = {}

    def row(self, name: str, jobs: Sequence[PlannedJob], *, shared: int) -> PlannedRun:
        """What these jobs cost."""
        self._look_up(jobs)
        hours = [(self.seconds.get(job.rule, job.minutes * 60) / 3600) for job in jobs]
        return PlannedRun(
            name=name,
            jobs=len(jobs),
            shared=shared,
            trainings=sum(job.rule == "train_lesion_fold" for job in jobs),
            gpu_jobs=sum(job.gpus > 0 for job in jobs),
            gpu_hours=sum(hour * job.gpus for hour, job in zip(hours, jobs, strict=True)),
            hours=sum(hours),
            measured=all(job.rule in self.seconds for job in jobs),
            gigabytes=sum(self._size(job) for job in jobs) / 1e9,
        )

    def _look_up(self, jobs: Sequence[PlannedJob]) -> None:
        by_rule: dict[str, list[int]] = defaultdict(list)
        for job in jobs:
            files = [self.folder / output for output in job.outputs]
            if all(file.exists() for file in files):
                self.bytes[tuple(job.outputs)] = sum(file.stat().st_size for file in files if file.is_file())
                by_rule[job.rule].append(self.bytes[tuple(job.outputs)])
        self.mean_bytes.update({rule: sum(sizes) / len(sizes) for rule, sizes in by_rule.items()})

    def _size(self, job: PlannedJob) -> float:
        if tuple(job.outputs) in self.bytes:
            return self.bytes[tuple(job.outputs)]
        if job.rule in self.mean_bytes:
            return self.mean_bytes[job.rule]
        return TRAINING_BYTES if job.rule == "train_lesion_fold" else BYTES_PER_VOXEL.get(job.rule, 0) * MEAN_VOXELS


def _mean_seconds(benchmarks: Path) -> dict[str, float]:
    """{rule: mean seconds of its jobs} from Snakemake's benchmark files."""
    means = {}
    for folder in sorted(benchmarks.iterdir()) if benchmarks.is_dir() else []:
        seconds = []
        for file in folder.rglob("*.tsv"):
            with open(file, encoding="utf-8", newline="") as table:
                seconds += [float(row["s"]) for row in csv.DictReader(table, delimiter="\t") if row.get("s")]
        if seconds:
            means[folder.name] = sum(seconds) / len(seconds)
    return means
