"""Project a PET onto a coronal plane, as an array and as a picture."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import replacing
        from clickpet.images import read_image
        from clickpet.mip import render_mip, save_mip_png

        suv = read_image(job.input.suv)
        options = {"spacing_out_mm": job.params.spacing_mm, "size": job.params.size}
        coronal = render_mip(suv.array, suv.affine, **options)
        sagittal = render_mip(suv.array, suv.affine, axis="sagittal", **options)
        with replacing(job.output.mip) as temporary, open(temporary, "wb") as file:
            np.save(file, coronal)
        save_mip_png(job.output.picture, coronal, sagittal)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
