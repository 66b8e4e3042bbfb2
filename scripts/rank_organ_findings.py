"""Findings about the livers of the cohort, worst first; none of them is hard."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_text
        from clickpet.ingest.findings import findings_table, rank_findings

        write_text(job.output.quality, findings_table(rank_findings([read_json(path) for path in job.input.quality])))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
