"""Store a train case as nnU-Net reads it."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.clicks.heatmap import draw_heatmap
        from clickpet.clicks.heatmap_options import HeatmapOptions
        from clickpet.clicks.reading import read_clicks
        from clickpet.files import read_json
        from clickpet.images import read_image
        from clickpet.nnunet.plans import dataset_json
        from clickpet.train.preprocessing import preprocess_case, preprocess_with_clicks, save_preprocessed

        ct, suv, truth = (read_image(file) for file in (job.input.ct, job.input.suv, job.input.truth))
        organs = read_image(job.input.organs).array if job.input.organs else None
        clicks = read_clicks(job.input.clicks, shape=suv.shape, affine=suv.affine)
        options = HeatmapOptions.from_mapping(job.params.heatmap)
        plans = read_json(job.input.plans)
        given = {"plans": plans, "dataset": dataset_json(1)}
        if job.params.with_heatmap:
            heatmap = draw_heatmap(suv.array, clicks, options, affine=suv.affine)
            case = preprocess_case(ct.array, suv.array, heatmap, truth.array, organs, suv.affine, **given)
        else:
            case = preprocess_with_clicks(
                ct.array, suv.array, clicks, options, truth.array, organs, suv.affine, **given
            )
        patch_size = plans["configurations"]["3d_fullres"]["patch_size"]
        save_preprocessed(dict(job.output.items()), *case, patch_size=patch_size)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
