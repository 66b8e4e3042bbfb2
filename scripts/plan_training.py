"""Fit the network to the configured patch."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.nnunet.plans import Topology, dataset_json, network_plans
        from clickpet.organs.labels import ORGANS

        plans = network_plans(
            read_json(job.input.plans),
            patch_size=job.params.patch_size,
            batch_size=job.params.batch_size,
            organ_classes=len(ORGANS) + 1 if job.params.organs else 0,
            topology=Topology(**job.params.topology),
            previous_mask=job.params.previous_mask,
        )
        n_training = len(read_json(job.input.fingerprint)["spacings"])
        write_json(job.output.dataset, dataset_json(n_training, previous_mask=job.params.previous_mask))
        write_json(job.output.plans, plans)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
