"""Our jobs in SLURM's queue, as `squeue` tells them; an empty queue where there is no SLURM."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from clickpet.errors import InputError

#: Beginning of our jobs' names (slurm-jobname-prefix in profiles/slurm); the run's id follows.
PREFIX = "clickpet"
_FORMAT = "%i|%T|%j|%M|%L|%N|%r|%Z|%k"


class NoAnswerError(InputError):
    """SLURM's commands are there, but it does not tell its queue."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that runs or waits.

    id : of SLURM;  state : PENDING, RUNNING, ...;  name : prefix and the id of the run of Snakemake that submitted
    it;  elapsed, remaining : as SLURM writes times (days-hours:minutes:seconds);  nodes : where it runs, or "";
    reason : why it waits, or "None";  folder : working folder;  rule : name of its rule or group;  wildcards : their
    values joined by "_", or "".
    """

    id: str
    state: str
    name: str
    elapsed: str
    remaining: str
    nodes: str
    reason: str
    folder: str
    rule: str
    wildcards: str

    @classmethod
    def read(cls, line: str) -> QueuedJob:
        """From a line of squeue in our format; the comment, which the executor fills, comes last."""
        *fields, comment = line.split("|", maxsplit=_FORMAT.count("|"))
        rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
        return cls(*fields, rule=rule, wildcards=wildcards)


def queued_jobs(folder: str | Path) -> list[QueuedJob]:
    """Jobs of this user that were submitted from `folder` and have not ended.

    Raises NoAnswerError if SLURM's commands are there but do not answer.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--me", "--noheader", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        mistake = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        mistake = "no answer in 60 s"
    if mistake:
        raise NoAnswerError(f"SLURM does not tell its queue ({mistake})", mend="try again when squeue works")
    jobs = [QueuedJob.read(line) for line in done.stdout.splitlines()]
    here = Path(folder).resolve()
    return [job for job in jobs if re.match(f"{PREFIX}_", job.name) and Path(job.folder).resolve() == here]


def refuse_orphans(folder: str | Path, *, needs_slurm: bool) -> None:
    """Raise InputError if jobs of an earlier run of Snakemake in `folder` are still in the queue.

    needs_slurm : False where this run uses no SLURM, so that a machine with its commands and no cluster is no error.
    To be called before the first submission: Snakemake's lock lets one run at a time into a folder, so whatever is
    queued then has lost its master (SIGKILL, lost login node) and would write the same files as its successor.
    """
    try:
        orphans = queued_jobs(folder)
    except NoAnswerError:
        if needs_slurm:
            raise
        return
    if orphans:
        names = ",".join(sorted({job.name for job in orphans}))
        raise InputError(
            f"{len(orphans)} SLURM job(s) of an earlier run still wait or run: {', '.join(job.id for job in orphans)}",
            where=folder,
            mend=f"wait for them (`clickpet status`) or cancel them: scancel --name {names}",
        )
