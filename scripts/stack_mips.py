"""Stack the MIPs of the train cases, in the cohort's order."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.files import replacing

        with replacing(job.output.mips) as temporary:
            np.save(temporary, np.stack([np.load(mip) for mip in job.input.mips]))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
