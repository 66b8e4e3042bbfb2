"""Write the report: one HTML page with everything in it."""

from pathlib import Path

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.run_results import (
            RunResults,
            by_case,
            read_by_case,
            read_findings,
            read_lesion_tables,
            read_rounds_results,
        )
        from clickpet.evaluate.tables import read_table_if_any
        from clickpet.evaluate.training_curves import read_training_by_model
        from clickpet.files import read_json, write_text
        from clickpet.report.document import build_report

        files = job.input
        scores = read_table_if_any(files.get("scores"))
        run = RunResults(
            provenance=read_json(files.provenance),
            cohort=read_table_if_any(files.cohort),
            scores=scores,
            summary=read_table_if_any(files.get("summary")),
            interactive=read_table_if_any(files.get("interactive")),
            interactive_summary=read_table_if_any(files.get("interactive_summary")),
            interactive_safety=read_table_if_any(files.get("interactive_safety")),
            lesions=read_lesion_tables(files.get("lesion_tables", []), scores),
            accuracy=read_json(files.accuracy) if files.get("accuracy") else {},
            training=read_training_by_model([*files.get("training", []), *files.get("tracer_training", [])]),
            cases=read_by_case(files.get("case_json", [])),
            predictions=read_by_case(files.get("predictions", [])),
            quality=read_findings(files.get("quality", [])),
            studies=read_by_case(files.get("studies", [])),
            figures={Path(path).stem: path for path in files.get("figures", [])},
            case_pictures=by_case(files.get("case_pictures", [])),
            rotations=by_case(files.get("rotations", [])),
            lesion_slices=by_case(files.get("lesion_slices", [])),
            rounds=read_rounds_results(files.get("rounds", []), files.get("rounds_pictures", [])),
        )
        write_text(job.output.report, build_report(run, worst_cases=job.params.worst_cases))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
