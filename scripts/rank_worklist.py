"""The studies of a run in the order in which a person should look at them, and what their review needs to know."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.run_results import read_by_case
        from clickpet.evaluate.tables import read_table, read_table_if_any, write_table
        from clickpet.evaluate.worklist import rank_worklist
        from clickpet.files import write_json

        scores = read_table_if_any(job.input.scores)
        worklist = rank_worklist(
            read_table(job.input.cohort).to_dict("records"),
            predictions=read_by_case(job.input.predictions),
            scores={row["slug"]: row for row in scores.to_dict("records")},
            findings=[row for path in job.input.quality for row in read_table(path).to_dict("records")],
        )
        write_table(job.output.worklist, worklist)
        write_json(job.output.settings, job.params.settings)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
