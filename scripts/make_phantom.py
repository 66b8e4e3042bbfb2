"""Make the phantom cohort."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.phantom.cohort import write_cohort

        write_cohort(seed=job.params.seed)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
