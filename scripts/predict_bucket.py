"""Segment the lesions of the cases of a bucket; each network is loaded once, predictions that are there are kept."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from itertools import compress

        from clickpet.devices import choose_device
        from clickpet.files import read_json, write_json
        from clickpet.ingest.findings import is_sound_study
        from clickpet.predict.bucket import BucketOptions, bucket_case, predict_missing

        case_folds = read_json(job.input.splits)["cases"] if job.input.splits else {}
        images = zip(job.input.ct, job.input.suv, job.input.heatmap, job.input.tracer, strict=True)
        cases = [
            bucket_case(**case, case_folds=case_folds, ct=ct, suv=suv, heatmap=heatmap, tracer=tracer)
            for case, (ct, suv, heatmap, tracer) in zip(job.params.cases, images, strict=True)
        ]
        if job.input.findings:  # rule predict_case says what is wrong with the others
            cases = list(compress(cases, [is_sound_study(read_json(found)) for found in job.input.findings]))
        keys = predict_missing(
            cases,
            job.params.folder,
            BucketOptions.read(job.input.options),
            device=choose_device(job.resources.get("gpu"), apple=True),
        )
        write_json(job.output.bucket, keys)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
