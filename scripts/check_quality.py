"""Look for what is wrong with a study before anything is trained on it."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.ingest.quality import check_files

        write_json(
            job.output.quality,
            check_files(
                job.params.case,
                job.params.slug,
                ct=job.input.ct,
                suv=job.input.suv,
                truth=job.input.get("truth"),
                organs=job.input.get("organs"),
                clicks=job.input.get("clicks"),
                records=[record for record in (job.input.record, job.input.get("label_record")) if record],
                tracer=job.params.tracer,
                thresholds=job.params.thresholds,
            ),
        )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
