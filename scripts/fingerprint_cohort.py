"""nnU-Net's dataset description, fingerprint and ResEncL plans of a tracer's train cases."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import read_json, write_json
        from clickpet.planning import dataset_json, fingerprint_cohort, resencl_plans

        cases = [read_json(record)["fingerprint"] for record in job.input.records]
        fingerprint = fingerprint_cohort(cases, [np.load(file) for file in job.input.intensities])
        dataset = dataset_json(len(cases))
        plans = resencl_plans(fingerprint, dataset, tracer=job.wildcards.tracer, spacing=job.params.spacing_mm)
        write_json(job.output.dataset, dataset)
        write_json(job.output.fingerprint, fingerprint)
        write_json(job.output.plans, plans)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
