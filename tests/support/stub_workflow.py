"""The real rules with scripts that only touch their outputs, in a folder of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: How a script begins its work, and what stands there instead: only the outputs are made.
BEGIN = """if "snakemake" in globals():
    main(snakemake)  # noqa: F821
"""
STUB = """if "snakemake" in globals():
    from pathlib import Path

    for output in snakemake.output:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(snakemake.rule)
    if snakemake.rule == "split_patients":
        import json

        slugs = [case["slug"] for case in snakemake.params.cases]
        splits = {"cases": {slug: number % 2 for number, slug in enumerate(slugs)}}
        Path(snakemake.output.splits).write_text(json.dumps(splits))
"""
CONFIG = """
cohort: cases.tsv
folds: [0, 1]
organs: {provider: given, scheme: clickpet}
evaluate: {click_steps: [0, 1], protocols: [rounds], rounds: 2}
report: {interactive: true}
"""
HEADER = "case\ttracer\tpatient\tcentre\tsplit\tct\tpet\tlabel\tclicks\torgans"
FILES = "in/ct.nii.gz\tin/pet.nii.gz\tin/label.nii.gz\t\tin/organs.nii.gz"
ROWS = [
    f"fdg a  1.x\tfdg\tp1\tUKT\ttrain\t{FILES}",
    f"fdg_b\tfdg\tp2\tUKT\ttrain\t{FILES}",
    f"psma_c\tpsma\tp3\tLMU\ttrain\t{FILES}",
    f"psma_d\tpsma\tp4\tLMU\ttrain\t{FILES}",
    f"psma_t\tpsma\tp5\tLMU\ttest\t{FILES}",
    "new\t\tp6\t\tpredict\tin/ct.nii.gz\tin/pet.nii.gz\t\tin/clicks.json\t",
]


class Workflow:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("rules", "config", "envs", "profiles"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "Snakefile", folder)
        shutil.copytree(ROOT / "clickpet", folder / "clickpet", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "scripts").mkdir()
        for script in (ROOT / "scripts").glob("*.py"):
            text = script.read_text()
            assert text.endswith(BEGIN)
            (folder / "scripts" / script.name).write_text(text.removesuffix(BEGIN) + STUB)
        (folder / "in").mkdir()
        for name in ("ct.nii.gz", "pet.nii.gz", "label.nii.gz", "organs.nii.gz", "clicks.json"):
            (folder / "in" / name).touch()
        self.write(CONFIG, ROWS)

    def write(self, config: str, rows: list[str]) -> None:
        (self.folder / "mine.yaml").write_text(config)
        table = "\n".join([HEADER, *rows]) + "\n"
        if not (self.folder / "cases.tsv").exists() or (self.folder / "cases.tsv").read_text() != table:
            (self.folder / "cases.tsv").write_text(table)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/config.yaml", "mine.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.run(
            [*command, "--", *arguments] if not arguments[0].startswith("-") else [*command, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def snakemake(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def would_run(self, config: str = CONFIG, rows: list[str] = ROWS) -> list[tuple[str, dict[str, str]]]:
        """Rule and wildcards of every job of a dry run; the table and config are put back afterwards."""
        table_time = (self.folder / "cases.tsv").stat()
        self.write(config, rows)
        text = self.snakemake("-n")
        self.write(CONFIG, ROWS)
        os.utime(self.folder / "cases.tsv", ns=(table_time.st_atime_ns, table_time.st_mtime_ns))
        jobs = []
        for block in re.split(r"^(?=(?:local)?(?:rule|checkpoint) \w+:$)", text, flags=re.MULTILINE)[1:]:
            rule = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block).group(1)
            wildcards = re.search(r"^\s+wildcards: (.*)$", block, flags=re.MULTILINE)
            pairs = wildcards.group(1).split(", ") if wildcards else []
            if rule != "all":
                jobs.append((rule, dict(pair.split("=", 1) for pair in pairs)))
        return jobs
