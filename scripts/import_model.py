"""Bring released weights into the model folders: lesion models (nnU-Net folders) or tracer discriminators."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from pathlib import Path

        from clickpet.files import write_json
        from clickpet.import_model import import_lesion_model, import_tracer_models

        target = Path(job.output.report).parent
        if job.params.kind == "tracer":
            report = import_tracer_models(dict(zip(job.params.folds, job.input.sources, strict=True)), target)
        else:
            report = import_lesion_model(job.params.source, target, folds=job.params.folds)
        for fold, keys in report["folds"].items():
            print(f"fold {fold}: {len(keys['copied'])} tensors copied, skipped: {keys['skipped'] or 'none'}")
        write_json(job.output.report, report)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
