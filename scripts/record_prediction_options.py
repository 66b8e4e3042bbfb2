"""Write down the options that all predictions by the same models have in common."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json

        record = {
            "predict": job.params.predict,
            "calibrations": read_json(job.input.calibration) if job.input.calibration else None,
            "maps": job.params.maps,
            "method": job.params.method,
            "networks": job.params.networks,
        }
        write_json(job.output.options, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
