"""Digests of a model's networks by fold, from the records of their trainings."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json

        digests = [read_json(training)["weights"] for training in job.input.trainings]
        write_json(job.output.networks, dict(zip(job.params.folds, digests, strict=True)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
