"""Take the prediction of a case that was made in its bucket."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.errors import InputError
        from clickpet.files import read_json
        from clickpet.ingest.findings import require_sound_study
        from clickpet.predict.bucket import BucketOptions, bucket_case, take_prediction

        if job.input.findings:
            require_sound_study(read_json(job.input.findings))
        case = bucket_case(
            **job.params.case,
            case_folds=read_json(job.input.splits)["cases"] if job.input.splits else {},
            ct=job.input.ct,
            suv=job.input.suv,
            heatmap=job.input.heatmap,
            tracer=job.input.tracer,
        )
        options = BucketOptions.read(job.input.options)
        try:
            take_prediction(case, job.params.folder, options, job.output)
        except InputError as error:
            raise InputError(str(error), mend="run snakemake with --forcerun predict_bucket") from error


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
