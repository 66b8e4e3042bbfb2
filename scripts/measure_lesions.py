"""Write the table of the lesions that were found in one case, and their totals."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.images import read_image
        from clickpet.lesion_table import measure_lesions, measure_study
        from clickpet.scores import check_one_grid
        from clickpet.summary import write_table

        # truth and uncertainty are optional inputs
        names = [name for name in ("mask", "suv", "truth", "uncertainty") if job.input.get(name)]
        images = {name: read_image(job.input[name]) for name in names}
        check_one_grid({job.input[name]: image for name, image in images.items()})
        affine = images["suv"].affine
        table = measure_lesions(**{name: image.array for name, image in images.items()}, affine=affine)
        row = job.params.row
        write_table(job.output.lesions, table)
        write_json(job.output.study, {"case": row["case"], "slug": row["slug"], **measure_study(table)})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
