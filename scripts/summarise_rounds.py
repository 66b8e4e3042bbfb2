"""Put the scores of all cases and rounds into one table, and what is summed up from them into others."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.rounds_tables import (
            lesion_free_table,
            read_round_lesions,
            rounds_table,
            safety_table,
            sizes_table,
            summarise_rounds,
        )
        from clickpet.evaluate.tables import write_table
        from clickpet.files import read_json

        table = rounds_table(read_json(path) for path in job.input.scores)
        lesions = read_round_lesions(job.input.lesions, table)
        bootstrap = {name: job.params[name] for name in ("repeats", "confidence", "seed")}
        write_table(job.output.rounds, table)
        write_table(job.output.summary, summarise_rounds(table, **bootstrap))
        write_table(job.output.safety, safety_table(table))
        write_table(job.output.sizes, sizes_table(lesions))
        write_table(job.output.lesion_free, lesion_free_table(table, ("round",)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
