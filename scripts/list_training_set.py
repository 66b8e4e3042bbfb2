"""Each preprocessed case of a tracer with the digest of its data, in one file."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.train.properties import data_digest

        digests = [data_digest(file) for file in job.input.properties]
        write_json(job.output.cases, dict(zip(job.params.slugs, digests, strict=True)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
