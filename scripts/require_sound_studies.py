"""Stop the run at a hard finding of the quality control."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import csv

        from clickpet.files import write_text
        from clickpet.ingest.findings import require_sound

        with open(job.input.quality, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        require_sound(rows, where=f"quality control (every finding: {job.input.quality})")
        write_text(job.output.sound, f"{len(rows)} findings, none of them hard\n")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
