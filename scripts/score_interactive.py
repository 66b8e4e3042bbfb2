"""Post-process and score one case at every number of clicks, with one reading of its SUV and truth."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.safety import added_clicks, answer_to
        from clickpet.evaluate.scores import check_one_grid, score_labels, score_masks
        from clickpet.files import read_json, write_json
        from clickpet.images import read_image, write_image
        from clickpet.postprocess.final_mask import post_process
        from clickpet.postprocess.options import PostprocessOptions

        truth, suv = read_image(job.input.truth), read_image(job.input.suv)
        splits = job.input.get("splits")
        folds = read_json(splits)["cases"] if splits else None
        labels = score_labels(job.params.row, read_json(job.input.tracer_json), folds)
        options = PostprocessOptions.from_mapping(job.params.postprocess)
        clicks_path, probabilities = job.input.get("clicks"), job.input.get("component_probabilities")
        clicks = read_clicks(clicks_path, shape=suv.shape, affine=suv.affine) if clicks_path else None
        step_before = mask_before = dice_before = None
        files = zip(job.params.steps, job.input.masks, job.output.masks, job.output.scores, strict=True)
        for index, (step, raw_path, mask_path, score_path) in enumerate(files):
            raw = read_image(raw_path)
            check_one_grid({job.input.suv: suv, job.input.truth: truth, raw_path: raw})
            final = post_process(
                raw.array,
                suv.array,
                suv.affine,
                options,
                clicks=clicks.first(int(step)) if clicks else None,
                probability=np.load(probabilities[index]) if probabilities else None,
            )
            write_image(mask_path, final.mask, suv.affine)
            if job.output.get("records"):
                write_json(job.output.records[index], final.record)
            score = score_masks(final.mask, truth.array, suv.affine)
            if clicks:
                first = step_before is None or step < step_before
                added = added_clicks(clicks, 0 if first else step_before, step)
                score |= answer_to(final.mask, clicks.first(step), added, suv.affine, None if first else mask_before)
                score["dice_change"] = float("nan") if first else score["dice"] - dice_before
                step_before, mask_before, dice_before = step, final.mask, score["dice"]
            write_json(score_path, {**labels, "clicks": int(step), **score})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
