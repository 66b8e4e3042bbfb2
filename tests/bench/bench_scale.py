"""The workflow: planning a full cohort.

1,611 studies (the names of the autoPET IV training cohort where they lie beside the checkout, else made-up ones of the
same length), empty files, five folds of two models and given organs. The "reference" is the limit that is promised, in
seconds; memory, in its own row, is in MB. "All done" reads Snakemake's record of every output. SLURM submissions are
the groups and single jobs that a dry run with profiles/slurm plans.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ROOT.parent / "shared" / "data" / "autopet" / "cohort.tsv"
STUDIES = 1611
LIMIT_S, LIMIT_MB, SUBMISSIONS = 60, 2000, 200
HEADER = "case\ttracer\tpatient\tcentre\tsplit\tct\tpet\tlabel\tclicks\torgans"
FILES = ("ct.nii.gz", "pet.nii.gz", "label.nii.gz", "clicks.json", "organs.nii.gz")
CONFIG = "cohort: cases.tsv\norgans: {provider: given, scheme: clickpet}\n"


def rows():
    """Cold, cold with groups, and when all is done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_cohort(folder)
        text, seconds, megabytes = snakemake(folder, "--dry-run", "--cores", "8")
        jobs = int(re.search(r"^total +(\d+)$", text, re.MULTILINE)[1])
        yield row("dry run, nothing done yet", LIMIT_S, seconds, f"{jobs:,} jobs")
        yield row("its peak memory (MB)", LIMIT_MB, megabytes, "")
        text, seconds, megabytes = snakemake(folder, "--dry-run", "--profile", "profiles/slurm")
        groups = len(re.findall(r"^(?:\[.*\] )?Group job ", text, re.MULTILINE))
        single = sum(rule not in local_rules() for rule in re.findall(r"^rule (\w+):$", text, re.MULTILINE))
        yield row("dry run for SLURM", LIMIT_S, seconds, f"{groups} groups, {single} single jobs, {megabytes:.0f} MB")
        yield row("SLURM submissions", SUBMISSIONS, groups + single, "")
        snakemake(folder, "--dry-run", "--cores", "8", program=[str(ROOT / "tests" / "bench" / "pretend_done.py")])
        text, seconds, _ = snakemake(folder, "--dry-run", "--cores", "8")
        note = "nothing to be done" if "Nothing to be done" in text else "PLANS JOBS"
        yield row("dry run, all done", LIMIT_S, seconds, note)


def row(name: str, limit: float, ours: float, note: str) -> dict:
    """A row whose reference is the promised limit."""
    return {"name": name, "reference_s": limit, "ours_s": ours, "ratio": limit / ours, "goal": 1, "note": note}


def local_rules() -> set[str]:
    """Rules that run where Snakemake runs."""
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    blocks = re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, re.MULTILINE | re.DOTALL)
    return {"all"} | {rule for rule, body in blocks if "localrule: True" in body}


def make_cohort(folder: Path) -> None:
    """Write the table of the cohort, its (empty) files and links to the workflow."""
    for name in ("Snakefile", "rules", "config", "envs", "profiles", "scripts", "clickpet"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "in").mkdir()
    for name in FILES:
        (folder / "in" / name).touch()
    if NAMES.is_file():
        with open(NAMES, newline="") as file:
            studies = [(row["case"], row["tracer"], row["patient"]) for row in csv.DictReader(file, delimiter="\t")]
    else:
        kinds = ["fdg" if number % 8 < 5 else "psma" for number in range(STUDIES)]
        studies = [(f"{kind}_{n:010d}_2003-01-02-NA-PET-CT", kind, f"{n // 2}") for n, kind in enumerate(kinds)]
    files = "\t".join(f"in/{name}" for name in FILES)
    lines = [f"{case}\t{tracer}\t{patient}\t\ttrain\t{files}" for case, tracer, patient in studies]
    (folder / "cases.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
    (folder / "mine.yaml").write_text(CONFIG)


def snakemake(folder: Path, *options: str, program: list[str] | None = None) -> tuple[str, float, float]:
    """What Snakemake prints, its seconds and its peak memory in MB."""
    words = [sys.executable, *(program or ["-m", "snakemake"]), *options]
    begun = time.perf_counter()
    with open(folder / "out.txt", "w") as out, subprocess.Popen(
        [*words, "--configfile", "config/config.yaml", "mine.yaml"], cwd=folder, stdout=out, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    seconds, text = time.perf_counter() - begun, (folder / "out.txt").read_text()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{text[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return text, seconds, used.ru_maxrss * unit / 1e6
