"""Read a study's clicks, or simulate them from its truth."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.clicks.grouping import join_touching
        from clickpet.clicks.model import Clicks
        from clickpet.clicks.reading import read_clicks
        from clickpet.clicks.simulation import simulate_clicks
        from clickpet.clicks.writing import write_clicks
        from clickpet.geometry import axial_axis
        from clickpet.images import read_image

        suv = read_image(job.input.suv)
        if job.input.clicks:
            clicks = read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine)
            if job.params.join_touching:
                clicks = join_touching(clicks, axial_axis(suv.affine))
        elif job.input.truth and job.params.simulate != "never":
            clicks = simulate_clicks(
                read_image(job.input.truth).array,
                suv.array,
                budget=job.params.budget,
                seed=job.params.seed,
                offset_vox=job.params.offset_vox,
            )
        else:
            clicks = Clicks.empty()
        write_clicks(job.output.clicks, clicks)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
