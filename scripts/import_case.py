"""Bring CT and PET of a study onto the PET's grid as HU and SUV."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.images import write_image
        from clickpet.ingest.study import load_ct, load_pet

        pet, suv_audit = load_pet(job.input.pet, timing=job.params.suv_timing)
        ct, ct_record = load_ct(job.input.ct, pet)
        write_image(job.output.ct, ct, pet.affine)
        write_image(job.output.suv, pet.array, pet.affine)
        record = {"case": job.params.name, "slug": job.wildcards.case, "shape": pet.shape}
        record |= {"spacing_mm": pet.spacing_mm, "suv": suv_audit, "ct": ct_record}
        write_json(job.output.record, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
