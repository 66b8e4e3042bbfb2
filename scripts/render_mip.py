"""Project a PET onto a coronal plane, as an array and as a picture."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import replacing
        from clickpet.images import read_image
        from clickpet.tracer.mip import render_mip
        from clickpet.tracer.picture import save_mip_png

        suv = read_image(job.input.suv)
        compat = job.params.options["compat"]
        options = {"spacing_out_mm": job.params.options["spacing_mm"], "size": job.params.options["size"]}
        coronal, sagittal = (
            render_mip(suv.array, suv.affine, axis=axis, **options) for axis in ("coronal", "sagittal")
        )
        seen = coronal if compat == "paper" else render_mip(suv.array, suv.affine, compat=compat, **options)
        with replacing(job.output.mip) as temporary, open(temporary, "wb") as file:
            np.save(file, seen)
        save_mip_png(job.output.picture, coronal, sagittal)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
