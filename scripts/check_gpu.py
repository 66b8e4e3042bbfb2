"""Train some steps of the configured network on made-up data, before anything is prepared for it."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from clickpet.devices import choose_device
        from clickpet.files import write_json
        from clickpet.nnunet.plans import Topology
        from clickpet.organs.labels import ORGANS
        from clickpet.train.flight_check import SMALL, check_training, require_fit, summary
        from clickpet.train.options import TrainingOptions

        gpus = job.resources.get("gpu")
        device = choose_device(gpus)
        network = {"patch_size": job.params.patch_size, "topology": Topology(**job.params.topology)}
        if device == "cpu":
            print(f"no GPU here: a small network on patches of {SMALL['patch_size']} shows that the parts work")
            network = SMALL
        record = check_training(
            device=device,
            **network,
            batch_size=-(-job.params.batch_size // max(gpus or 1, 1)),
            organ_classes=len(ORGANS) + 1 if job.params.organs else 0,
            spacing=job.params.spacing_mm,
            options=TrainingOptions(**job.params.options),
            workers=0 if device == "cpu" else max(job.threads - 1, 1),
            augment_on_device=True,
        )
        print(summary(record), flush=True)
        require_fit(record)
        write_json(job.output.check, record)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
