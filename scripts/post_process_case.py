"""Make the final lesion mask of one case from the network's."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.clicks.reading import read_clicks
        from clickpet.evaluate.scores import check_one_grid
        from clickpet.files import write_json
        from clickpet.images import read_image, write_image
        from clickpet.postprocess.final_mask import post_process
        from clickpet.postprocess.options import PostprocessOptions

        mask, suv = read_image(job.input.mask), read_image(job.input.suv)
        check_one_grid({job.input.mask: mask, job.input.suv: suv})
        clicks, probability = job.input.get("clicks"), job.input.get("component_probability")
        final = post_process(
            mask.array,
            suv.array,
            mask.affine,
            PostprocessOptions.from_mapping(job.params.postprocess),
            clicks=read_clicks(clicks, shape=suv.shape, affine=suv.affine) if clicks else None,
            probability=np.load(probability) if probability else None,
        )
        write_image(job.output.mask, final.mask, mask.affine)
        if job.output.get("record"):
            write_json(job.output.record, final.record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
