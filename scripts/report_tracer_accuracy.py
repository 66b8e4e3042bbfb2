"""How often the tracer discriminator is right on the scored cases."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json
        from clickpet.tracer.accuracy import accuracy_report

        fold_of = read_json(job.input.splits)["cases"]
        rows = []
        for row, path in zip(job.params.rows, job.input.tracers, strict=True):
            found = read_json(path)
            fold = fold_of.get(row["slug"])
            rows.append({**row, "tracer_found": found["tracer"], "source": found["source"], "fold": fold})
        write_json(job.output.accuracy, accuracy_report(rows))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
