"""Find the tracer of a case from its MIP, unless it is known."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.files import read_json, write_json

        known = job.params.only or job.params.given
        if known:
            answer = {"tracer": known, "source": "only" if job.params.only else "given"}
            write_json(job.output.tracer, {**answer, "probability_psma": [], "votes": {}, "models": []})
            return

        import numpy as np

        from clickpet.tracer.network import load_discriminator
        from clickpet.tracer.voting import find_tracer

        folds = job.params.folds
        if job.params.out_of_fold:
            folds = [str(read_json(job.input.splits)["cases"][job.params.slug])]
        checkpoints = [f"{job.params.models_folder}/tracer/fold_{fold}/checkpoint.pth" for fold in folds]
        answer = find_tracer(np.load(job.input.mip), [load_discriminator(path) for path in checkpoints])
        write_json(job.output.tracer, {**answer, "models": folds})


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
