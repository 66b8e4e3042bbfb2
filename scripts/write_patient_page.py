"""Write the page of one patient."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.tables import read_table
        from clickpet.files import read_json, write_text
        from clickpet.images import read_image
        from clickpet.report.patient_page import PatientResults, build_patient_page

        suv = read_image(job.input.suv, np.float32)
        found = PatientResults(
            case=job.params.title,
            suv=suv.array,
            ct=read_image(job.input.ct, np.float32).array,
            lesions=read_image(job.input.lesions).array,
            affine=suv.affine,
            clicks=read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine),
            table=read_table(job.input.table),
            totals=read_json(job.input.study),
            tracer=read_json(job.input.tracer),
            prediction=read_json(job.input.prediction),
            quality=read_json(job.input.quality),
            case_record=read_json(job.input.record),
            truth=read_image(job.input.truth).array > 0 if job.input.get("truth") else None,
            threshold=job.params.threshold,
        )
        write_text(job.output.page, build_patient_page(found))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
