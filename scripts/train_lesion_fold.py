"""Train one fold of a lesion model, or go on training it."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from clickpet.devices import choose_device
        from clickpet.files import read_json, write_json
        from clickpet.train.key import fold_cases
        from clickpet.train.lesion_fold import publish, train_lesion_fold
        from clickpet.train.options import TrainingOptions
        from clickpet.workflow.local_copy import local_copy

        tracer, fold = job.wildcards.tracer, job.wildcards.fold
        gpus = job.resources.get("gpu")
        device = choose_device(gpus)
        budget_min = job.resources.get("time_budget_min")
        scratch = job.resources.tmpdir if job.resources.get("local_copy") else None
        with local_copy(f"results/nnunet/{tracer}", job.params.cases, scratch) as preprocessed:
            checkpoint, record = train_lesion_fold(
                plans=read_json(job.input.plans),
                dataset=read_json(job.input.dataset),
                options=TrainingOptions(**job.params.options, save_every=job.resources.save_every),
                case_split=fold_cases(read_json(job.input.splits), job.params.cases, fold),
                fold=fold,
                preprocessed=preprocessed,
                fingerprint=job.input.fingerprint,
                workspace=f"results/training/{tracer}/fold_{fold}",
                pretrained=job.input.pretrained or None,
                budget_s=60 * float(budget_min) if budget_min else None,
                device=device,
                processes=1 if device == "cpu" else gpus or 1,
                method=job.params.method,
                workers=0 if device == "cpu" else max(job.threads - 1, 1),
            )
        publish(checkpoint, job.output.checkpoint)
        write_json(job.output.training, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
