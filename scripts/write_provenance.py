"""Write down what the run was made of: config, data, software, seeds, costs."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import write_json
        from clickpet.report.provenance import gather_provenance

        provenance = gather_provenance(
            job.params.config,
            cohort_table=job.params.config["cohort"],
            cohort=job.input.cohort,
            benchmarks=job.params.benchmarks,
            results=[path for name, path in job.input.items() if name != "cohort" and isinstance(path, str)],
        )
        write_json(job.output.provenance, provenance)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
