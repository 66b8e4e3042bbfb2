"""Segment the lesions of one case with the lesion model of its tracer."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from pathlib import Path

        from clickpet.devices import choose_device
        from clickpet.files import read_json, write_json
        from clickpet.images import write_image
        from clickpet.ingest.findings import require_sound_study
        from clickpet.predict.inference import (
            cost_text,
            member_folds,
            predict_scan,
            read_heatmap,
            read_scan,
            write_component_probabilities,
            write_disagreement,
            write_lesion_disagreement,
            write_probability,
        )

        if job.input.get("findings"):
            require_sound_study(read_json(job.input.findings))
        tracer = read_json(job.input.tracer)["tracer"]
        model = Path(job.params.models[tracer])
        case_folds = read_json(job.input.splits)["cases"] if job.input.splits else {}
        calibration = job.input.get("calibration")

        def read_inputs():
            scan = read_scan(ct=job.input.ct, suv=job.input.suv)
            return scan, [read_heatmap(job.input.heatmap, scan)]

        prediction = next(
            predict_scan(
                read_inputs,
                model,
                member_folds(job.params.slug, job.params.split, job.params.folds[tracer], case_folds),
                **job.params.predict,
                device=choose_device(job.resources.get("gpu"), apple=True),
                calibration=read_json(calibration)[model.name] if calibration else None,
                disagreement="everywhere" if job.output.get("disagreement_map") else "lesions",
                save_probability=bool(job.output.get("probability_map")),
                lesion_probability=bool(job.output.get("component_probability")),
            )
        )
        print(cost_text(prediction.details))
        write_image(job.output.mask, prediction.mask, prediction.affine)
        write_lesion_disagreement(job.output.disagreement, prediction)
        if job.output.get("disagreement_map"):
            write_disagreement(job.output.disagreement_map, prediction)
        if job.output.get("probability_map"):
            write_probability(job.output.probability_map, prediction)
        if job.output.get("component_probability"):
            write_component_probabilities(job.output.component_probability, prediction)
        record = {"case": job.params.slug, "tracer": tracer, "model": model.name, **prediction.details}
        write_json(job.output.prediction, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
