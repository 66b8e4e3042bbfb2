"""Compare the scores of two or more runs, study by study."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.comparison import read_run
        from clickpet.comparison_page import write_comparison

        interactive = list(job.input.get("interactive", [])) or [None] * len(job.params.names)
        runs = [
            read_run(name, scores, curve)
            for name, scores, curve in zip(job.params.names, job.input.scores, interactive, strict=True)
        ]
        write_comparison(
            runs,
            page=job.output.page,
            table=job.output.table,
            latex=job.output.latex,
            repeats=job.params.repeats,
            confidence=job.params.confidence,
            seed=job.params.seed,
        )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
