"""Rank methods by the challenge's rule from their tables of scores."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.ranking import compare_methods
        from clickpet.run_results import read_table
        from clickpet.summary import write_table

        tables = {name: read_table(path) for name, path in zip(job.params.names, job.input.tables, strict=True)}
        write_table(job.output.ranking, compare_methods(tables))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
