"""Repairs of Snakemake and its SLURM executor: each one with what it mends, how that was measured, and when it can go.

A repair replaces a function of another package, so it is applied only to the versions that it was written for. With any
other version the workflow says so in one line and runs without it: slower, or as the other version behaves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from clickpet.workflow.job_graph import check_groups, is_ready, once_a_rule
from clickpet.workflow.slurm_answers import keep_asking


@dataclass(frozen=True)
class Repair:
    """A function of another package that is replaced.

    package : its distribution;  series : versions (major.minor) that it was written for;  mends, measured, until :
    what is wrong there, how that was found, and when the repair can go;  apply : does it.
    """

    package: str
    series: str
    mends: str
    measured: str
    until: str
    apply: Callable[[], None]


def _check_groups() -> None:
    from snakemake.dag import DAG

    DAG._check_groups = check_groups
    DAG.validate_group = lambda dag, group: None  # asks the same of one group


def _is_ready() -> None:
    from snakemake.dag import DAG

    DAG._ready = is_ready


def _look_at_scripts_once() -> None:
    from snakemake.dag import ScriptProcessor

    ScriptProcessor.process_job = once_a_rule(ScriptProcessor.process_job)


def _keep_jobs_without_answer() -> None:
    # Snakemake has imported every executor that is installed
    if slurm := sys.modules.get("snakemake_executor_plugin_slurm"):
        slurm.query_job_status = keep_asking(slurm.query_job_status)


REPAIRS = (
    Repair(
        package="snakemake",
        series="9.27",
        mends="The check that no group of jobs waits for itself walks all that lies upstream of every member.",
        measured="Dry run with profiles/slurm: minutes for 200 studies, hours for 1,600; now seconds (make bench).",
        until="Snakemake checks groups in linear time.",
        apply=_check_groups,
    ),
    Repair(
        package="snakemake",
        series="9.27",
        mends="Whenever a job ends, groups are compared member by member for every dependency of every member.",
        measured="A third of a dry run with groups of 1,611 studies, by profile.",
        until="Snakemake compares groups by identity.",
        apply=_is_ready,
    ),
    Repair(
        package="snakemake",
        series="9.27",
        mends="The script of every job is opened to see that it is there, not that of every rule.",
        measured="A tenth of a dry run of 1,611 studies, by profile.",
        until="Snakemake looks at scripts once a rule.",
        apply=_look_at_scripts_once,
    ),
    Repair(
        package="snakemake-executor-plugin-slurm",
        series="2.8",
        mends="When SLURM does not answer a few times, all submitted jobs are forgotten and Snakemake waits for ever.",
        measured="slurmctld restarted under a run (tests/slurm/test_disturbances.py): it never ended; now it does.",
        until="the executor takes no answer for no news.",
        apply=_keep_jobs_without_answer,
    ),
)


def apply_repairs(version_of: Callable[[str], str] = metadata.version) -> list[str]:
    """Apply the repairs that fit the installed versions; returns a warning for each package that has another version.

    version_of : version of an installed distribution; raises importlib.metadata.PackageNotFoundError without it.
    """
    others = {}
    for repair in REPAIRS:
        try:
            version = version_of(repair.package)
        except metadata.PackageNotFoundError:
            continue
        if version == repair.series or version.startswith(f"{repair.series}."):
            repair.apply()
        else:
            others[repair.package] = (version, repair.series)
    return [
        f"{package} {version} runs without the repairs that were made for {series} (clickpet/workflow/repairs.py)"
        for package, (version, series) in others.items()
    ]
