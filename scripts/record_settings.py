"""Write down what trained models must be shown."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from pathlib import Path

        from clickpet.models.settings import write_settings

        folder = Path(job.output.settings).parent
        write_settings(folder, job.params.folds, heatmap=job.params.heatmap, mip=job.params.mip)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
