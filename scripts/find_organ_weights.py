"""See that TotalSegmentator's weights are there, and write down what decides the organ maps."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.organs.totalsegmentator import find_weights

        models = find_weights(fast=job.params.settings["fast"], weights=job.params.weights)
        write_json(job.output.models, {"settings": job.params.settings, "models": models})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
