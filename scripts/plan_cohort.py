"""nnU-Net's dataset description and ResEncL plans of a tracer's train cases."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.nnunet.plans import CHANNELS, dataset_json, resencl_plans, with_normalisation

        fingerprint = read_json(job.input.fingerprint)
        dataset = dataset_json(len(fingerprint["spacings"]))
        plans = resencl_plans(fingerprint, dataset, tracer=job.wildcards.tracer, spacing=job.params.spacing_mm)
        if job.input.pretrained:
            from clickpet.train.pretrained import normalisation_constants

            images = {index: kind for index, kind in CHANNELS.items() if kind == "CT"}
            plans = with_normalisation(plans, normalisation_constants(job.input.pretrained, images))
        write_json(job.output.plans, plans)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
