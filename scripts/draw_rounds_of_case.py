"""Draw the rounds of a case side by side."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.rounds import Round
        from clickpet.files import read_json
        from clickpet.images import read_image
        from clickpet.report.case_figure import CASE_DPI
        from clickpet.report.rounds_figures import draw_rounds_of_case
        from clickpet.report.style import save_png

        suv, truth = read_image(job.input.suv, np.float32), read_image(job.input.truth).array != 0
        tracer = job.params.tracer or read_json(job.input.tracer_json)["tracer"]
        grid = {"shape": suv.shape, "affine": suv.affine}
        files = zip(job.input.interactions, job.input.masks, strict=True)
        rounds = [Round(read_clicks(clicks, **grid), read_image(mask).array) for clicks, mask in files]
        save_png(
            draw_rounds_of_case(suv.array, truth, rounds, suv.affine, tracer=tracer), job.output.picture, dpi=CASE_DPI
        )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
