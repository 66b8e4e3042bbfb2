"""Segment the lesions of one case again and again, with more and more of its clicks."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from pathlib import Path

        from clickpet.clicks.heatmap import heatmap_steps
        from clickpet.clicks.heatmap_options import HeatmapOptions
        from clickpet.clicks.reading import read_clicks
        from clickpet.devices import choose_device
        from clickpet.files import read_json
        from clickpet.predict.inference import cost_text, member_folds, predict_scan, read_scan, write_masks

        tracer = read_json(job.input.tracer)["tracer"]
        model = Path(job.params.models[tracer])
        case_folds = read_json(job.input.splits)["cases"] if job.input.splits else {}
        calibration = job.input.get("calibration")

        def read_inputs():
            scan = read_scan(ct=job.input.ct, suv=job.input.suv)
            clicks = read_clicks(job.input.clicks, shape=scan.suv.shape, affine=scan.affine)
            options = HeatmapOptions.from_mapping(job.params.heatmap)
            steps = heatmap_steps(scan.suv, clicks, job.params.steps, options, affine=scan.affine)
            return scan, (heatmap for _, heatmap in steps)

        def told(predictions):
            for prediction in predictions:
                print(cost_text(prediction.details))
                yield prediction

        predictions = predict_scan(
            read_inputs,
            model,
            member_folds(job.params.slug, job.params.split, job.params.folds[tracer], case_folds),
            **job.params.predict,
            device=choose_device(job.resources.get("gpu"), apple=True),
            calibration=read_json(calibration)[model.name] if calibration else None,
            lesion_probability=bool(job.output.get("component_probabilities")),
        )
        write_masks(job.output.masks, told(predictions), job.output.get("component_probabilities", ()))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
