"""Snakemake's command line, except that all jobs of the DAG are noted as done, on empty files, and none is run."""

import json
import sys
from pathlib import Path

from snakemake.cli import main
from snakemake.workflow import Workflow

_build_dag = Workflow._build_dag


def build_and_pretend(workflow) -> None:
    """Build the DAG; then, from its beginnings on, make every output and write Snakemake's record of it."""
    _build_dag(workflow)

    async def finish():
        for level in workflow.dag.toposorted():
            for job in level:
                for file in map(Path, job.output):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.touch()
                if job.rule.name == "split_patients":
                    slugs = [case["slug"] for case in job.params.cases]
                    splits = {"cases": {slug: number % 5 for number, slug in enumerate(slugs)}}
                    Path(job.output.splits).write_text(json.dumps(splits))
                await workflow.persistence.finished(job)

    workflow.async_run(finish())
    sys.exit(0)


Workflow._build_dag = build_and_pretend
main()
