"""Erase lesion components that are both tiny and faint."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.scores import check_one_grid
        from clickpet.images import read_image, write_image
        from clickpet.postprocess.specks import drop_faint_specks

        mask, suv = read_image(job.input.mask), read_image(job.input.suv)
        check_one_grid({job.input.mask: mask, job.input.suv: suv})
        kept = drop_faint_specks(
            mask.array,
            suv.array,
            min_voxels=job.params.min_voxels,
            min_suv_max=job.params.min_suv_max,
            min_volume_mm3=job.params.min_volume_mm3,
            affine=mask.affine,
        )
        write_image(job.output.mask, kept, mask.affine)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
