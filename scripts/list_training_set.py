"""Each preprocessed case of a tracer with the digest of its data, in one file; a case that has changed is told."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.nnunet.stored_case import check_stored_case

        digests = [check_stored_case(file, contents=True)["digest"] for file in job.input.properties]
        write_json(job.output.cases, dict(zip(job.params.slugs, digests, strict=True)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
