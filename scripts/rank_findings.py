"""All findings of the cohort, worst first; a hard one stops the run."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_text
        from clickpet.ingest.findings import findings_table, rank_findings, require_sound

        rows = rank_findings([read_json(record) for record in job.input.quality])
        print(findings_table(rows))
        require_sound(rows, where=f"quality control (every finding: {job.log[0]})")
        write_text(job.output.quality, findings_table(rows))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
