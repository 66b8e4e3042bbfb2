"""nnU-Net's dataset fingerprint of a tracer's train cases."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import read_json, write_json
        from clickpet.nnunet.plans import fingerprint_cohort

        cases = [read_json(record)["fingerprint"] for record in job.input.records]
        write_json(job.output.fingerprint, fingerprint_cohort(cases, [np.load(file) for file in job.input.intensities]))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
