"""Describe the results as an RO-Crate."""

from pathlib import Path

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.report.crate import describe_run

        crate = describe_run(read_json(job.input.provenance), list(job.input), root=Path(job.output.crate).parent)
        write_json(job.output.crate, crate)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
