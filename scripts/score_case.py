"""Score one case against its truth."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.scores import check_one_grid, score_case, score_labels
        from clickpet.evaluate.tables import write_table
        from clickpet.files import read_json, write_json
        from clickpet.images import read_image

        paths = (job.input.mask, job.input.truth, job.input.suv)
        images = {path: read_image(path) for path in paths}
        check_one_grid(images)
        mask, truth, suv = images.values()
        score, lesions = score_case(mask.array, truth.array, suv.array, suv.affine)
        splits = job.input.get("splits")
        folds = read_json(splits)["cases"] if splits else None
        labels = score_labels(job.params.row, read_json(job.input.tracer_json), folds)
        write_json(job.output.score, {**labels, **score})
        write_table(job.output.lesions, lesions)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
