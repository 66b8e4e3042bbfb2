"""Score the masks of all rounds of one case."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.rounds import score_rounds
        from clickpet.evaluate.scores import check_one_grid, score_labels
        from clickpet.evaluate.tables import write_table
        from clickpet.files import read_json, write_json
        from clickpet.images import read_image

        truth = read_image(job.input.truth)
        splits = job.input.get("splits")
        folds = read_json(splits)["cases"] if splits else None
        labels = score_labels(job.params.row, read_json(job.input.tracer_json), folds)
        grid = {"shape": truth.shape, "affine": truth.affine}
        rounds = [read_clicks(path, **grid) for path in job.input.interactions]

        def masks():
            for path in job.input.masks:
                mask = read_image(path)
                check_one_grid({job.input.truth: truth, path: mask})
                yield mask.array

        scores, lesions = score_rounds(masks(), rounds, truth.array, truth.affine)
        for path, score in zip(job.output.scores, scores, strict=True):
            write_json(path, {**labels, **score})
        write_table(job.output.lesions, lesions)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
