"""Draw a case with truth, prediction and clicks."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np
        from PIL import Image

        from clickpet.clicks.reading import read_clicks
        from clickpet.files import read_json, replacing
        from clickpet.images import read_image
        from clickpet.report.case_figure import CASE_DPI, draw_case
        from clickpet.report.lesion_sheet import draw_lesion_sheet
        from clickpet.report.rotation import draw_rotation
        from clickpet.report.style import save_png

        suv = read_image(job.input.suv, np.float32)
        truth = read_image(job.input.truth).array > 0 if job.input.get("truth") else None
        lesions = read_image(job.input.lesions).array > 0
        tracer = job.params.tracer or read_json(job.input.tracer_json)["tracer"]
        clicks = read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine)
        figure = draw_case(suv.array, lesions, suv.affine, tracer=tracer, truth=truth, clicks=clicks)
        save_png(figure, job.output.picture, dpi=CASE_DPI)
        rotation = draw_rotation(suv.array, lesions, suv.affine, tracer=tracer, truth=truth)
        ct = read_image(job.input.ct, np.float32).array
        slices = draw_lesion_sheet(suv.array, ct, lesions, suv.affine, tracer=tracer, truth=truth, clicks=clicks)
        for path, picture in ((job.output.rotation, rotation), (job.output.slices, slices)):
            with replacing(path) as temporary:
                Image.fromarray(picture).save(temporary, "png", optimize=True)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
