"""Bring a given organ map onto the PET's grid and into our organ numbers."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.images import read_image, write_image
        from clickpet.organs.given import import_organs

        pet = read_image(job.input.suv)
        erase = read_image(job.input.truth).array > 0 if job.params.erase_lesions else None
        organs = import_organs(
            read_image(job.input.organs),
            pet.shape,
            pet.affine,
            scheme=job.params.scheme,
            erase=erase,
            where=job.input.organs,
        )
        write_image(job.output.organs, organs, pet.affine)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
