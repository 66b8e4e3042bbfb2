"""Export a trained lesion model as a plain nnU-Net model."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from pathlib import Path

        from clickpet.export_model import export_model

        report = export_model(Path(job.input.plans).parent, Path(job.output.plans).parent, folds=job.params.folds)
        for fold, keys in report["folds"].items():
            print(
                f"fold {fold}: {len(keys['copied'])} tensors copied, {len(keys['skipped'])} of the organ head left out"
            )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
