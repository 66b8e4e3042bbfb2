"""Segment one case round by round, each time with what a reader marked on the mask of the round before."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from pathlib import Path

        from clickpet.clicks.heatmap import draw_heatmap
        from clickpet.clicks.heatmap_options import HeatmapOptions
        from clickpet.clicks.replay import read_rounds
        from clickpet.clicks.writing import write_clicks
        from clickpet.devices import choose_device
        from clickpet.evaluate.rounds import RoundsOfStudy, given_reader, simulated_reader
        from clickpet.evaluate.scores import check_one_grid
        from clickpet.files import read_json
        from clickpet.images import Image, read_image, write_image
        from clickpet.postprocess.final_mask import post_process
        from clickpet.postprocess.options import PostprocessOptions
        from clickpet.predict.inference import component_probabilities, cost_text, member_folds, predict_scan, read_scan

        tracer = read_json(job.input.tracer)["tracer"]
        model = Path(job.params.models[tracer])
        case_folds = read_json(job.input.splits)["cases"] if job.input.splits else {}
        calibration = job.input.get("calibration")
        options = HeatmapOptions.from_mapping(job.params.heatmap)
        scan, truth = read_scan(ct=job.input.ct, suv=job.input.suv), read_image(job.input.truth)
        check_one_grid({job.input.suv: Image(scan.suv, scan.affine), job.input.truth: truth})
        if job.params.protocol == "replay":
            reader = given_reader(read_rounds(list(job.input.replay), shape=scan.suv.shape, affine=scan.affine))
        else:
            reader = simulated_reader(truth.array, scan.affine, job.params.slug, job.params.seed)
        postprocess = PostprocessOptions.from_mapping(job.params.postprocess)

        def final_mask(prediction, clicks):
            print(cost_text(prediction.details))
            probability = component_probabilities(prediction) if postprocess.needs_probability else None
            options = {"clicks": clicks, "probability": probability}
            return post_process(prediction.mask, scan.suv, scan.affine, postprocess, **options).mask

        rounds = RoundsOfStudy(
            len(job.output.masks),
            reader,
            draw=lambda clicks: draw_heatmap(scan.suv, clicks, options, affine=scan.affine),
            finish=final_mask,
        )
        predictions = predict_scan(
            lambda: (scan, rounds.heatmaps()),
            model,
            member_folds(job.params.slug, job.params.split, job.params.folds[tracer], case_folds),
            **job.params.predict,
            device=choose_device(job.resources.get("gpu"), apple=True),
            calibration=read_json(calibration)[model.name] if calibration else None,
            lesion_probability=postprocess.needs_probability,
        )
        done = rounds.play(predictions)
        for one, mask, interaction in zip(done, job.output.masks, job.output.interactions, strict=True):
            write_image(mask, one.mask, scan.affine)
            write_clicks(interaction, one.clicks)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
