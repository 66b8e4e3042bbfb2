"""A run of the workflow as a child process: its steps told, its failure in one line, and nothing of it left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from clickpet.errors import InputError
from clickpet.files import write_text
from clickpet.workflow.guarded_snakemake import end_group

#: The workflow lies beside the package in a checkout; the package alone (a wheel) has none.
WORKFLOW = Path(__file__).resolve().parents[2]
LOG = "snakemake.log"
_KILLED = re.compile(r"died with <Signals\.SIGKILL|returned non-zero exit status (137|247)\b")
_JOB_LOG = re.compile(r"\blogs/[^\s,;:()]+\.log\b")
_LINES_TOLD = 8
_MORE_MEMORY = "give it more memory, or fewer cores (--cores), so that fewer steps run at a time"


class WorkflowFailedError(InputError):
    """A run failed. log : file that has the whole story, and stays; None where one line is the whole story."""

    def __init__(self, what: str, log: Path | None = None):
        super().__init__(what)
        self.log = log


def require_workflow() -> None:
    """InputError if the workflow does not lie beside the package."""
    if not (WORKFLOW / "Snakefile").is_file():
        raise InputError(
            "the workflow is not beside the package",
            where=WORKFLOW,
            mend="install clickpet from its checkout (make install), which holds Snakefile and rules/",
        )


def workflow_environment() -> dict[str, str]:
    """Environment of a child process that imports the package from the workflow's own checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(WORKFLOW), os.getenv("PYTHONPATH")]))}


def run_workflow(
    folder: Path,
    configs: Sequence[Path],
    targets: Sequence[str],
    *,
    cores: int | None = None,
    profile: Path | None = None,
    forced_rules: Sequence[str] = (),
    keep_logs: bool = True,
    lock: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> None:
    """Run the workflow in `folder`, which the caller has locked.

    configs : YAML files, the later one wins;  targets : none for the workflow's default;  cores : None for those of
    the profile, or all;  profile : folder of a profile of Snakemake;  forced_rules : rules that run whether or not
    their inputs look newer;  keep_logs : False if `folder` goes away: a log that the error points to is copied out
    of it then;  lock : file descriptor of the folder's lock, which the run holds as well;  progress : told each step
    as it starts.

    All processes of the run are one process group, which ends with this process however that ends.
    Raises WorkflowFailedError, one line.
    """
    command = [sys.executable, "-m", "clickpet.workflow.guarded_snakemake"]
    command += ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", *map(str, configs), "--scheduler", "greedy", "--nocolor"]
    command += ["--profile", str(profile)] if profile else []
    command += ["--cores", str(cores or "all")] if cores or not profile else []
    command += ["--nolock"]  # the folder's own lock does not outlive its holder
    command += ["--forcerun", *forced_rules] if forced_rules else []
    lines: list[str] = []
    process = subprocess.Popen(
        [*command, "--", *targets],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=workflow_environment(),
        process_group=0,
        pass_fds=() if lock is None else (lock,),
    )
    try:
        # a job that has lost its Snakemake would hold the pipe open that is read here
        threading.Thread(target=lambda: (process.wait(), end_group(process.pid)), daemon=True).start()
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            rule = re.fullmatch(r"(?:local)?rule (\w+):", line.strip())
            if rule and rule[1] not in targets:
                progress(rule[1].replace("_", " "))
        code = process.wait()
    except BaseException:
        end_group(process.pid)
        process.wait()
        raise
    finally:
        process.stdin.close()
        process.stdout.close()
    write_text(folder / LOG, "\n".join(lines) + "\n")
    if code:
        raise _failure(lines, code, folder, keep_logs)


def _failure(lines: Sequence[str], code: int, folder: Path, keep_logs: bool) -> WorkflowFailedError:
    """The error of a failed run: its reason, and the log that says more, which is kept if the reason points to it."""
    reason, log = reason_of(lines, code)
    if log is None:
        return WorkflowFailedError(reason)
    path = folder / log
    if not path.is_file():
        path = folder / LOG
    if not keep_logs:
        handle, kept = tempfile.mkstemp(prefix="clickpet-", suffix=".log")
        os.close(handle)
        shutil.copyfile(path, kept)
        path = Path(kept)
    reason = reason.replace(log, str(path)) if log in reason else f"{reason}; log: {path}"
    return WorkflowFailedError(reason, path)


def reason_of(lines: Sequence[str], code: int) -> tuple[str, str | None]:
    """Why the workflow failed, and the log (in its folder) that says more, if there is more to say.

    lines : what Snakemake said, with the lines that jobs and the reading of config and cohort left;  code : of its
    end, negative where a signal ended it.
    """
    told = [line.strip() for line in lines]
    for mark in ("clickpet: error: ", "clickpet: ", "config: ", "cohort: ", "splits: "):
        for line in told:
            if line.startswith(mark):
                log = _JOB_LOG.search(line)
                return line.removeprefix(mark), log[0] if log else None
    for number, line in enumerate(told):
        if _KILLED.search(line):
            rule = next((found[1] for other in reversed(told[: number + 1]) if (found := _rule_in(other))), None)
            step = f"the step {rule.replace('_', ' ')}" if rule else "a step"
            return f"{step} was killed (SIGKILL), most likely because memory ran out; {_MORE_MEMORY}", LOG
    if code < 0:
        name = signal.Signals(-code).name
        why = f", most likely because memory ran out; {_MORE_MEMORY}" if -code == signal.SIGKILL else ""
        return f"the workflow was ended by {name}{why}", LOG
    return "the workflow failed: " + " | ".join([line for line in told if line][-_LINES_TOLD:]), LOG


def _rule_in(line: str) -> re.Match | None:
    return re.match(r"(?:Error in |local)?rule (\w+):", line)
