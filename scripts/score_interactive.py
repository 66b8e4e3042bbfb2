"""Post-process and score one case at every number of clicks, with one reading of its SUV and truth."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.scores import check_one_grid, score_labels, score_masks
        from clickpet.files import read_json, write_json
        from clickpet.images import read_image, write_image
        from clickpet.postprocess.specks import drop_faint_specks

        truth, suv = read_image(job.input.truth), read_image(job.input.suv)
        splits = job.input.get("splits")
        folds = read_json(splits)["cases"] if splits else None
        labels = score_labels(job.params.row, read_json(job.input.tracer_json), folds)
        files = zip(job.params.steps, job.input.masks, job.output.masks, job.output.scores, strict=True)
        for clicks, raw_path, mask_path, score_path in files:
            raw = read_image(raw_path)
            check_one_grid({job.input.suv: suv, job.input.truth: truth, raw_path: raw})
            mask = drop_faint_specks(raw.array, suv.array, affine=suv.affine, **job.params.postprocess)
            write_image(mask_path, mask, suv.affine)
            score = score_masks(mask, truth.array, suv.affine)
            write_json(score_path, {**labels, "clicks": int(clicks), **score})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
