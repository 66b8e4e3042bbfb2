"""Bring the expert's lesion mask onto the PET's grid and note what nnU-Net's fingerprint needs of the case."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import replacing, write_json
        from clickpet.images import read_image, write_image
        from clickpet.ingest.study import describe_label, load_label
        from clickpet.nnunet.plans import fingerprint_case

        pet = read_image(job.input.suv)
        which = {"regions": job.params.regions, "values": job.params.values}
        truth, source = load_label(job.input.label, pet, **which, drawn_on=job.params.drawn_on)
        ct = read_image(job.input.ct)
        fingerprint, intensities = fingerprint_case(ct.array, pet.array, truth, pet.affine)
        write_image(job.output.truth, truth, pet.affine)
        with replacing(job.output.intensities) as temporary, open(temporary, "wb") as file:
            np.save(file, intensities)
        record = {**describe_label(truth, pet.affine), "label": source, "fingerprint": fingerprint}
        write_json(job.output.record, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
