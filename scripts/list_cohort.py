"""The cohort with slugs and folds."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.cohort import read_cohort, write_cohort
        from clickpet.files import read_json

        fold_of = read_json(job.input.splits)["cases"] if job.input.splits else {}
        write_cohort(job.output.cohort, read_cohort(job.input.table), fold_of)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
