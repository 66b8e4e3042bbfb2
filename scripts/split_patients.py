"""Share the train patients out among the folds, once for all models."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.ingest.splits import draw_splits, given_splits

        counts = read_json(job.input.counts)
        cases = [{**case, "lesions": counts[case["slug"]]} for case in job.params.cases]
        if job.input.given:
            splits = given_splits(job.input.given, cases, n_folds=job.params.n_folds)
        else:
            splits = draw_splits(cases, n_folds=job.params.n_folds, seed=job.params.seed)
        write_json(job.output.splits, splits)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
