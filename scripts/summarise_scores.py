"""Put the scores of all cases into one table, and their means by group into another."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.latex import latex_table
        from clickpet.evaluate.rounds_tables import lesion_free_table, read_scored_lesions, sizes_table
        from clickpet.evaluate.summary import score_table, summarise
        from clickpet.evaluate.tables import write_table
        from clickpet.files import read_json, write_text

        table = score_table(read_json(path) for path in job.input.scores)
        summary = summarise(table, repeats=job.params.repeats, confidence=job.params.confidence, seed=job.params.seed)
        write_table(job.output.scores, table)
        write_table(job.output.summary, summary)
        write_table(job.output.sizes, sizes_table(read_scored_lesions(job.input.lesions, table), by=()))
        write_table(job.output.lesion_free, lesion_free_table(table))
        write_text(job.output.latex, latex_table(summary))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
