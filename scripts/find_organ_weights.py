"""See that TotalSegmentator's weights are there, before anything is computed that would need them."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.organs.totalsegmentator import find_weights

        write_json(job.output.models, find_weights(fast=job.params.fast, weights=job.params.weights))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
