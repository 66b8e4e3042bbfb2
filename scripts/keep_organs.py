"""Take the organ map that was made in a case's bucket, with or without organs under lesions."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.images import read_image, write_image
        from clickpet.organ_maps import read_map

        organs = read_map(job.params.folder, job.wildcards.case, job.input.ct, job.params.settings)
        if job.params.erase_lesions:
            organs.array[read_image(job.input.truth).array > 0] = 0
        write_image(job.output.organs, organs.array, organs.affine)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
