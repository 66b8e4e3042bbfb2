"""Draw a study's clicks as a heatmap."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.clicks.heatmap import draw_heatmap
        from clickpet.clicks.heatmap_options import HeatmapOptions
        from clickpet.clicks.reading import read_clicks
        from clickpet.images import read_image, write_image

        suv = read_image(job.input.suv)
        clicks = read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine)
        options = HeatmapOptions.from_mapping(job.params.options)
        heatmap = draw_heatmap(suv.array, clicks, options, affine=suv.affine)
        write_image(job.output.heatmap, heatmap, suv.affine)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
