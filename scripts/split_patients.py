"""Share the train patients out among the folds, once for all models."""

from pathlib import Path

from clickpet.workflow.job import logged

#: A copy beside the trainings, so that a lost splits.json trains nothing anew.
KEPT = "results/training/splits.json"


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.ingest.splits import draw_splits, given_splits, read_splits

        counts = read_json(job.input.counts)
        cases = [{**case, "lesions": counts[case["slug"]]} for case in job.params.cases]
        if job.input.given:
            splits = given_splits(job.input.given, cases, n_folds=job.params.n_folds)
        else:
            kept = next((read_splits(file) for file in (job.output.splits, KEPT) if Path(file).is_file()), None)
            splits = draw_splits(cases, n_folds=job.params.n_folds, seed=job.params.seed, kept=kept)
        write_json(job.output.splits, splits)
        write_json(KEPT, splits)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
