"""Post-process and score one case at every number of clicks, with one reading of its SUV and truth."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.click_steps import score_click_steps
        from clickpet.evaluate.scores import check_one_grid, score_labels
        from clickpet.files import read_json, write_json
        from clickpet.images import read_image, write_image
        from clickpet.postprocess.final_mask import post_process
        from clickpet.postprocess.options import PostprocessOptions

        truth, suv = read_image(job.input.truth), read_image(job.input.suv)
        splits = job.input.get("splits")
        folds = read_json(splits)["cases"] if splits else None
        labels = score_labels(job.params.row, read_json(job.input.tracer_json), folds)
        options = PostprocessOptions.from_mapping(job.params.postprocess)
        clicks = read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine)
        steps, probabilities = [int(step) for step in job.params.steps], job.input.get("component_probabilities")

        def masks():
            for index, (step, raw_path) in enumerate(zip(steps, job.input.masks, strict=True)):
                raw = read_image(raw_path)
                check_one_grid({job.input.suv: suv, job.input.truth: truth, raw_path: raw})
                final = post_process(
                    raw.array,
                    suv.array,
                    suv.affine,
                    options,
                    clicks=clicks.first(step),
                    probability=np.load(probabilities[index]) if probabilities else None,
                )
                write_image(job.output.masks[index], final.mask, suv.affine)
                if job.output.get("records"):
                    write_json(job.output.records[index], final.record)
                yield final.mask

        scores = score_click_steps(masks(), steps, clicks, truth.array, suv.affine)
        for path, score in zip(job.output.scores, scores, strict=True):
            write_json(path, {**labels, **score})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
