"""Share the train patients out among the folds, once for all models."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.splits import draw_splits, given_splits

        cases = [
            {**case, "lesions": read_json(truth)["lesions"]}
            for case, truth in zip(job.params.cases, job.input.truths, strict=True)
        ]
        if job.input.given:
            splits = given_splits(job.input.given, cases, n_folds=job.params.n_folds)
        else:
            splits = draw_splits(cases, n_folds=job.params.n_folds, seed=job.params.seed)
        write_json(job.output.splits, splits)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
