"""Train the tracer discriminator of one fold on the MIPs of all other folds."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        import numpy as np

        from clickpet.digests import weights_digest
        from clickpet.files import read_json, write_json
        from clickpet.tracer.network import save_discriminator
        from clickpet.tracer.training import train_fold

        fold_of = read_json(job.input.splits)["cases"]
        held_out = np.array([str(fold_of[slug]) == job.wildcards.fold for slug in job.params.slugs])
        options = {key: job.params[key] for key in ("epochs", "learning_rate", "batch_size", "patience")}
        weights, record = train_fold(
            np.load(job.input.mips),
            job.params.tracers,
            job.params.patients,
            held_out,
            **options,
            weight_decay=job.params.weight_decay,
            seed=job.params.seed,
        )
        save_discriminator(job.output.checkpoint, weights)
        write_json(job.output.training, {"fold": job.wildcards.fold, **record, "weights": weights_digest(weights)})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
