"""How far a run is: from the files it writes, SLURM's queue and the processes of this machine; no server."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from clickpet.files import read_json
from clickpet.workflow.slurm_queue import NoAnswerError, QueuedJob, queued_jobs
from clickpet.workflow.training_state import superseded

_LOG_LINE = re.compile(r"logs?: (?P<logs>.+?)(?: \(check log file\(s\) for error details\))?$")


@dataclass
class Failure:
    """A job that failed in the last run of Snakemake and has not succeeded since: its rule, logs and how often."""

    rule: str
    logs: list[str] = field(default_factory=list)
    message: str = ""
    times: int = 1


@dataclass(frozen=True)
class StartedJob:
    """A job that was started and has not ended: its rule, wildcards ("case=a") and when it began, in seconds since 1970
    (None: not told)."""

    rule: str
    wildcards: str
    began_s: float | None


@dataclass
class RunLog:
    """What Snakemake's own log of its last run in a folder says.

    path : the log;  host : machine of that run;  total, done : steps of it;  planned, finished : steps by rule;
    started : jobs that have not ended;  failures : jobs that failed and are not mended;  logs_of : SLURM's log of each
    SLURM job;  ended : it came to its end by itself (well or not).
    """

    path: Path
    host: str = ""
    total: int = 0
    done: int = 0
    planned: Counter = field(default_factory=Counter)
    finished: Counter = field(default_factory=Counter)
    started: list[StartedJob] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    logs_of: dict[str, str] = field(default_factory=dict)
    ended: bool = False


@dataclass(frozen=True)
class Training:
    """A lesion training. state : "done", "running", "waiting" or "stopped"; remaining_s : None where unknown.

    data_wait : share of the last epoch in which the device waited for data, None where unknown.
    """

    tracer: str
    fold: str
    epoch: int
    epochs: int
    seconds_per_epoch: float
    remaining_s: float | None
    idle_s: float
    state: str
    log: str
    data_wait: float | None = None


def last_run(folder: str | Path) -> RunLog | None:
    """Log of the last run of Snakemake in `folder`, or None where there was none."""
    logs = sorted(Path(folder, ".snakemake", "log").glob("*.snakemake.log"), key=lambda path: path.stat().st_mtime)
    return read_run_log(logs[-1]) if logs else None


def read_run_log(path: Path) -> RunLog:
    """Read a log of Snakemake (format of version 9)."""
    run = RunLog(path)
    failed: dict[tuple, Failure] = {}
    started: dict[str, StartedJob] = {}
    began_s = None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    table = False
    for number, line in enumerate(lines):
        if line.startswith("Job stats:"):
            table = True
        elif table and (count := re.fullmatch(r"(\w+) +(\d+)", line)):
            if count[1] == "total":
                run.total, table = int(count[2]), False
            else:
                run.planned[count[1]] = int(count[2])
        elif found := re.fullmatch(r"\[(.+)\]", line):
            began_s = _seconds(found[1])
        elif found := re.match(r"(?:local)?(?:rule|checkpoint) (\w+):$", line):
            job, wildcards = _read_start(lines[number + 1 :])
            started[job] = StartedJob(found[1], wildcards, began_s)
        elif found := re.match(r"  Host: (.*)", line):
            run.host = found[1]
        elif found := re.match(r"Finished jobid: (\d+) \(Rule: (\w+)\)", line):
            run.finished[found[2]] += 1
            failed.pop(found[1], None)
            started.pop(found[1], None)
        elif found := re.match(r"(\d+) of (\d+) steps", line):
            run.done, run.total = int(found[1]), int(found[2])
        elif found := re.search(r"has been submitted with SLURM jobid (\w+) \(log: (.*)\)\.$", line):
            run.logs_of[found[1]] = found[2]
        elif re.match(r"(Complete log|Exiting because a job execution failed|Nothing to be done)", line):
            run.ended = True
        elif re.match(r"Error in (group|rule)", line):
            for job, failure in _read_errors(lines[number:], run.logs_of):
                failure.times += failed[job].times if job in failed else 0
                failed[job] = failure
                started.pop(job, None)
    run.failures, run.started = list(failed.values()), list(started.values())
    return run


def _seconds(stamp: str) -> float | None:
    """Seconds since 1970 of a time as Snakemake writes it, None for other text."""
    try:
        return time.mktime(time.strptime(stamp))
    except ValueError:
        return None


def _read_start(lines: list[str]) -> tuple[str, str]:
    """Snakemake's number and the wildcards of a job whose block goes on with `lines`."""
    number, wildcards = "", ""
    for line in lines:
        if not line.startswith(" "):
            break
        name, _, value = line.strip().partition(": ")
        if name == "jobid":
            number = value
        if name == "wildcards":
            wildcards = value
    return number, wildcards


def _read_errors(lines: list[str], logs_of: dict[str, str]):
    """Snakemake's number and Failure of each job in the error block that begins with `lines`."""
    message, external, jobs = "", "", []
    first = re.match(r"Error in (?:rule (\w+))?", lines[0])
    rule, number, logs = first[1], "", []
    for line in [*lines[1:], ""]:
        text = line.strip()
        if found := re.match(r"message: (.*)", text):
            message = "" if found[1] == "None" else found[1]
        elif found := re.match(r"external_jobid: (\w+)", text):
            external = found[1]
        elif found := re.match(r"(?:rule|Error in rule) (\w+):", text):
            if number:
                jobs.append((number, rule, logs))
            rule, number, logs = found[1], "", []
        elif found := re.match(r"jobid: (\d+)", text):
            number = found[1]
        elif found := _LOG_LINE.match(text):
            logs = [log.strip() for log in found["logs"].split(",")]
        elif not text or not line.startswith(" "):
            break
    if number:
        jobs.append((number, rule, logs))
    slurm = [logs_of[external]] if external in logs_of else []
    return [(number, Failure(rule, list(dict.fromkeys(logs + slurm)), message)) for number, rule, logs in jobs]


def trainings(folder: str | Path, queue: list[QueuedJob]) -> list[Training]:
    """Every lesion training that was begun in `folder` or waits in the queue, sorted by tracer and fold."""
    root = Path(folder)
    queued = {job.wildcards: job for job in queue if job.rule == "train_lesion_fold"}
    places = [path.relative_to(root / "results" / "training").parts for path in
              (root / "results" / "training").glob("*/fold_*")]  # fmt: skip
    names = {(tracer, fold.removeprefix("fold_")) for tracer, fold in places}
    names |= {tuple(wildcards.split("_")) for wildcards in queued if wildcards.count("_") == 1}
    return [_training(root, tracer, fold, queued.get(f"{tracer}_{fold}")) for tracer, fold in sorted(names)]


def _training(root: Path, tracer: str, fold: str, job: QueuedJob | None) -> Training:
    progress = root / "results" / "training" / tracer / f"fold_{fold}" / "progress.json"
    epoch, epochs, seconds, idle_s, data_wait = 0, 0, 0.0, float("inf"), None
    if progress.is_file():
        said = read_json(progress)
        epoch, epochs, seconds = said["epoch"], said["epochs"], said["seconds_per_epoch"]
        data_wait = said.get("data_wait_share")
        idle_s = time.time() - progress.stat().st_mtime
    if (root / "results" / "models" / tracer / f"fold_{fold}" / "checkpoint_final.pth").is_file():
        state = "done"
    elif job:
        state = "running" if job.state == "RUNNING" else "waiting"
    else:
        state = "running" if idle_s < max(600, 3 * seconds) else "stopped"
    remaining_s = None if not epochs or state == "done" else (epochs - epoch) * seconds
    log = f"logs/train_lesion_fold/{tracer}/{fold}.log"
    return Training(tracer, fold, epoch, epochs, seconds, remaining_s, idle_s, state, log, data_wait)


def controllers(folder: str | Path) -> list[int]:
    """Processes on this machine that are a Snakemake (no job of one) at work in `folder`."""
    import psutil

    here, found = Path(folder).resolve(), []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(re.search(r"(^|[/_])snakemake$", word) for word in words[:3]) and "--mode" not in words:
            try:
                if Path(process.cwd()) == here:
                    found.append(process.pid)
            except psutil.Error:
                continue
    return found


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them: "2 d 4 h", "3 h 10 min", "5 min", "20 s"; "-" for None.

    >>> duration(187_200), duration(11_400), duration(299.6), duration(20), duration(None)
    ('2 d 4 h', '3 h 10 min', '5 min', '20 s', '-')
    """
    if seconds is None or seconds == float("inf"):
        return "-"
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def report_status(folder: str | Path) -> str:
    """All of it as text for a terminal."""
    run, masters = last_run(folder), controllers(folder)
    try:
        queue, told = queued_jobs(folder), ""
    except NoAnswerError as error:
        queue, told = [], f"{error}\n" if run and run.logs_of else ""
    parts = [_headline(run, masters), told, _orphans(queue, masters, run), _running(run, masters), _steps(run)]
    parts += [
        _trainings(trainings(folder, queue)),
        _superseded(folder),
        _queue(queue, run),
        _failures(run, Path(folder)),
    ]
    return "\n".join(part for part in parts if part).rstrip("\n")


def _headline(run: RunLog | None, masters: list[int]) -> str:
    if run is None:
        return "No run of Snakemake in this folder yet."
    state = "ended" if run.ended else "broke off, or runs on another machine"
    if masters:
        state = f"runs (process {', '.join(map(str, masters))})"
    share = f", {run.done} of {run.total} steps done" if run.total else ""
    return f"Snakemake on {run.host or 'this machine'}: {state}{share}. Its log: {run.path}"


def _orphans(queue: list[QueuedJob], masters: list[int], run: RunLog | None) -> str:
    if not queue or masters:
        return ""
    names = ",".join(sorted({job.name for job in queue}))
    where = f" nor, if that is another one, on {run.host}" if run and run.host else ""
    return (
        f"{len(queue)} SLURM job(s), but no Snakemake runs here{where}: if none does, they are orphans.\n"
        f"  Wait until they have ended or cancel them: scancel --name {names}\n"
        "  Then: snakemake --unlock, and start again; it refuses to start while they are there."
    )


def _running(run: RunLog | None, masters: list[int]) -> str:
    """Jobs that run on this machine; those on a cluster are in its queue."""
    if run is None or not masters or run.logs_of:
        return ""
    now = time.time()
    rows = [
        [one.rule, one.wildcards or "-", duration(None if one.began_s is None else max(0.0, now - one.began_s))]
        for one in run.started
    ]
    return _table("Runs now", ["rule", "of", "for"], rows)


def _steps(run: RunLog | None) -> str:
    if run is None or not run.planned:
        return ""
    open_rules = [rule for rule, count in run.planned.items() if run.finished[rule] < count and rule != "all"]
    rows = [[rule, f"{run.finished[rule]}/{run.planned[rule]}"] for rule in open_rules]
    return _table("Steps not yet done", ["rule", "done"], rows)


def _trainings(found: list[Training]) -> str:
    rows = [
        [
            *[one.tracer, one.fold, f"{one.epoch}/{one.epochs}" if one.epochs else "-"],
            *[f"{one.seconds_per_epoch:.0f}" if one.epochs else "-"],
            *["-" if one.data_wait is None else f"{one.data_wait:.0%}", duration(one.remaining_s), one.state, one.log],
        ]
        for one in found
    ]
    return _table("Trainings", ["tracer", "fold", "epochs", "s/epoch", "waits for data", "left", "state", "log"], rows)


def _superseded(folder: str | Path) -> str:
    """Checkpoints of earlier settings: a return to them goes on from there, and they take space."""
    found = superseded(Path(folder, "results"))
    rows = [
        [one.tracer, one.fold, "finished" if one.finished else "begun", f"{one.size / 1e6:.0f} MB", str(one.folder)]
        for one in found
    ]
    title = "Checkpoints of earlier settings (clickpet status --drop-superseded deletes them)"
    return _table(title, ["tracer", "fold", "state", "size", "folder"], rows)


def _queue(queue: list[QueuedJob], run: RunLog | None) -> str:
    logs = run.logs_of if run else {}
    rows = [
        [job.id, job.state, job.rule, job.wildcards, job.elapsed, job.remaining, job.nodes or f"({job.reason})",
         logs.get(job.id, "")]
        for job in queue
    ]  # fmt: skip
    return _table("SLURM", ["job", "state", "rule or group", "of", "runs", "left", "where (why not)", "log"], rows)


def _failures(run: RunLog | None, folder: Path) -> str:
    lines = []
    for failure in run.failures if run else []:
        state = re.search(r"SLURM status is: '(\w+)'", failure.message)
        remarks = [f"SLURM: {state[1]}"] if state else []
        remarks += [f"{failure.times} times"] if failure.times > 1 else []
        remark = f" ({', '.join(remarks)})" if remarks else ""
        lines.append(f"  {failure.rule}{remark}: {', '.join(failure.logs) or failure.message}")
        last = _last_line(folder / failure.logs[0]) if failure.logs else ""
        lines += [f"    {last}"] if last else []
        if not state and not last.startswith("clickpet: "):  # which is how a job that fails by itself ends
            lines.append("    (no reason is told: it was killed, most likely because memory ran out)")
    return "\n".join(["Failed, and not yet mended", *lines]) if lines else ""


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines)])


def _last_line(log: Path) -> str:
    """What a log says last: a job that fails ends with the reason."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    except OSError:
        return ""
