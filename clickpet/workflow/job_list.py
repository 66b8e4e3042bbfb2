"""The jobs of a planned run with a signature each, so that two plans can be compared job by job."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from clickpet.files import read_json, write_json

#: Environment variable that asks a run of Snakemake for the list: the file to write.
ASK = "CLICKPET_JOB_LIST"


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan.

    signature : hash of rule, wildcards, params and inputs, and of the signatures of all jobs before it: jobs of two
    plans that are equal in it compute the same;  needed : it would run now;  gpus : asked for;  minutes : its limit;
    outputs : paths in the run's folder.
    """

    rule: str
    wildcards: dict[str, str]
    signature: str
    needed: bool
    gpus: int
    minutes: float
    outputs: list[str]


def offer_job_list(workflow) -> None:
    """Write the list of a run's jobs when it ends, if ASK names a file.  workflow : the object in a Snakefile."""
    if file := os.environ.get(ASK):
        atexit.register(_write, workflow, file)


def read_job_list(path: str | Path) -> list[PlannedJob]:
    """The list that a run has left."""
    return [PlannedJob(**job) for job in read_json(path)]


def _write(workflow, path: str) -> None:
    dag = workflow.dag
    if dag is None:  # the run ended before it had a plan
        return
    signatures: dict = {}
    jobs = []
    for level in dag.toposorted():
        for job in level:
            signatures[job] = _signature(job, sorted(signatures[earlier] for earlier in dag.dependencies[job]))
            if job.is_norun:  # targets that only collect files
                continue
            resources = job.resources
            jobs.append(
                PlannedJob(
                    rule=job.rule.name,
                    wildcards=dict(job.wildcards.items()),
                    signature=signatures[job],
                    needed=bool(dag.needrun(job)),
                    gpus=int(resources.get("gpu", 0) or 0),
                    minutes=float(resources.get("runtime", 0) or 0),
                    outputs=[str(output) for output in job.output],
                )
            )
    write_json(path, [asdict(job) for job in jobs])


def _signature(job, earlier: list[str]) -> str:
    params = _plain(dict(job.params.items()))
    what = [job.rule.name, dict(job.wildcards.items()), params, sorted(map(str, job.input)), earlier]
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _plain(value):
    """A value as JSON has it, whatever mapping or sequence it was."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
