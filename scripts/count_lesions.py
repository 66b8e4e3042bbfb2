"""The number of lesions of each train case, in one file."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json

        counts = [read_json(truth)["lesions"] for truth in job.input.truths]
        write_json(job.output.counts, dict(zip(job.params.slugs, counts, strict=True)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
