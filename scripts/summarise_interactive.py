"""Put the scores of all cases and numbers of clicks into one table, and the mean curves and areas into another."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.interactive import interactive_table
        from clickpet.evaluate.rounds_tables import safety_of_clicks
        from clickpet.evaluate.summary import summarise_interactive
        from clickpet.evaluate.tables import write_table
        from clickpet.files import read_json

        scores = [read_json(path) for path in job.input.scores]
        table = interactive_table(scores)
        summary = summarise_interactive(
            table, repeats=job.params.repeats, confidence=job.params.confidence, seed=job.params.seed
        )
        write_table(job.output.interactive, table)
        write_table(job.output.summary, summary)
        write_table(job.output.safety, safety_of_clicks(scores))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
