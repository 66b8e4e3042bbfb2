"""Take the organ map that was made in a case's bucket, and look at the uptake of the liver in it."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.errors import InputError
        from clickpet.files import write_json
        from clickpet.images import read_image, write_image
        from clickpet.ingest.findings import as_record
        from clickpet.ingest.lesion_quality import check_liver
        from clickpet.organs.cache import read_map
        from clickpet.organs.labels import ORGANS

        try:
            organs = read_map(job.params.folder, job.wildcards.case, job.input.ct, job.params.settings)
        except InputError as error:
            raise InputError(str(error), mend="run snakemake with --forcerun segment_organs") from error
        liver, suv = organs.array == ORGANS["liver"], read_image(job.input.suv).array
        findings = check_liver(
            suv=suv, liver=liver, affine=organs.affine, tracer=job.params.tracer, thresholds=job.params.thresholds
        )
        write_json(job.output.liver, as_record(job.params.name, job.wildcards.case, findings))
        if job.params.erase_lesions:
            organs.array[read_image(job.input.truth).array > 0] = 0
        write_image(job.output.organs, organs.array, organs.affine)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
