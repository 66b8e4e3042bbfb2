"""Draw projections of a case with truth, prediction and clicks."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.images import read_image
        from clickpet.report.case_figure import CASE_DPI, draw_case
        from clickpet.report.style import save_png

        suv = read_image(job.input.suv, np.float32)
        truth = read_image(job.input.truth).array > 0 if job.input.get("truth") else None
        figure = draw_case(
            suv.array,
            read_image(job.input.lesions).array > 0,
            suv.affine,
            truth=truth,
            clicks=read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine),
            title=job.params.title,
        )
        save_png(figure, job.output.picture, dpi=CASE_DPI)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
