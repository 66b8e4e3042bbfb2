"""Write the table of the lesions that were found in one case, and their totals."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.evaluate.lesion_sites import lesion_sites, volume_by_site
        from clickpet.evaluate.lesion_table import measure_lesions, measure_study, number_lesions, over_mask
        from clickpet.evaluate.scores import check_one_grid
        from clickpet.evaluate.tables import write_table
        from clickpet.files import write_json
        from clickpet.images import read_image

        names = [name for name in ("mask", "suv", "truth") if job.input.get(name)]  # not every case has a truth
        images = {name: read_image(job.input[name]) for name in names}
        check_one_grid({job.input[name]: image for name, image in images.items()})
        affine = images["suv"].affine
        spread = over_mask(read_image(job.input.raw).array, np.load(job.input.disagreement))
        arrays = {name: image.array for name, image in images.items()}
        table = measure_lesions(**arrays, affine=affine, disagreement=spread)
        totals = measure_study(table)
        if job.input.get("organs"):
            table["site"] = lesion_sites(number_lesions(arrays["mask"]), read_image(job.input.organs).array)
            totals |= volume_by_site(table["site"], table["volume_ml"])
        row = job.params.row
        write_table(job.output.lesions, table)
        write_json(job.output.study, {"case": row["case"], "slug": row["slug"], **totals})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
