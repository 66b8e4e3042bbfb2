"""Time this machine: seconds per forward pass and per voxel, for each lesion model."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from pathlib import Path

        from clickpet.devices import choose_device
        from clickpet.files import write_json, write_text
        from clickpet.predict.calibrate import calibrate, calibration_table

        folders = [Path(path).parent for path in job.input.plans]
        device = choose_device(job.resources.get("gpu"), apple=True)
        measured = {folder.name: calibrate(folder, job.params.folds[folder.name], device=device) for folder in folders}
        write_json(job.output.calibration, measured)
        write_text(job.output.table, calibration_table(measured))
        print(calibration_table(measured))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
