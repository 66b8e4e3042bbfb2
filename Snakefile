"""clickpet: click-guided lesion segmentation in whole-body PET/CT across tracers.

A cohort table and a config go in; models, masks, scores and a report come out. Read the rule files in this order:

| stage (rules/) | writes, under results/                                            | paper |
|----------------|-------------------------------------------------------------------|-------|
| phantom        | phantom/: a small made-up PET/CT cohort (demo and tests only)     | -     |
| ingest         | splits.json, cohort.tsv, cases/{case}/{ct,suv,truth}.nii.gz       | 2.1   |
| clicks         | cases/{case}/clicks.json, heatmap.nii.gz                          | 2.1, 2.2 Heatmaps |
| organs         | cases/{case}/organs.nii.gz                                        | 2.2 Additional Organs Supervision |
| tracer         | cases/{case}/mip.png, tracer.json, models/tracer/fold_{fold}/     | 2.2 Tracer Discriminator |
| train          | models/{tracer}/: nnU-Net model folders                           | 2.2 Segmentation Models |
| predict        | cases/{case}/lesions_raw.nii.gz                                   | 2.2 Dynamic Inference Depth |
| postprocess    | cases/{case}/lesions.nii.gz                                       | 2.2 Post-Processing |
| evaluate       | cases/{case}/score.json, scores.tsv, summary.tsv, worklist.tsv    | 3     |
| report         | report.html, figures/, provenance.json                            | 3     |
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


# only with --sdm apptainer; made from envs/clickpet.def
container: "envs/clickpet.sif"


include: "rules/common.smk"
include: "rules/networks.smk"
include: "rules/repairs.smk"
include: "rules/phantom.smk"
include: "rules/ingest.smk"
include: "rules/clicks.smk"
include: "rules/organs.smk"
include: "rules/tracer.smk"
include: "rules/train.smk"
include: "rules/predict.smk"
include: "rules/postprocess.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    stop_if_orphans_run()


rule prepare:
    """Everything before training."""
    input:
        expand("results/cases/{case}/heatmap.nii.gz", case=CASES),
        expand("results/cases/{case}/mip.png", case=CASES),
        [expand("results/nnunet/{tracer}/{case}.pkl", tracer=t, case=train_cases(t)) for t in TRAINED],
        expand("results/models/{tracer}/plans.json", tracer=TRAINED),
        "results/splits.json" if TRAIN else [],
        "results/cohort.tsv",
        FINDINGS,
        "results/sound_studies.txt",
        GPU_CHECK,


rule train:
    """All models: the discriminator and the lesion models, every fold."""
    input:
        expand("results/models/tracer/fold_{fold}/checkpoint.pth", fold=DISCRIMINATOR_FOLDS),
        expand("results/models/{tracer}/fold_{fold}/checkpoint_final.pth", tracer=TRAINED, fold=FOLDS),
        "results/models/settings.json" if TRAINED else [],
        GPU_CHECK,


rule evaluate:
    """Scores of every train case (out of fold) and test case (ensemble)."""
    input:
        expand(
            "results/{table}",
            table=["scores.tsv", "summary.tsv", "summary.tex", "lesion_sizes.tsv", "lesion_free.tsv"],
        )
        if SCORED
        else [],
        expand("results/cases/{case}/{file}", case=SCORED, file=["lesion_table.csv", "study.json"]),
        expand("results/cases/{case}/patient.html", case=slugs("test")),


rule rounds:
    """Scores of interaction in rounds, by the protocols of evaluate.protocols."""
    input:
        ROUND_TABLES,


rule interactive:
    """Scores at every number of clicks, and in every round where the config asks for it."""
    input:
        [f"results/interactive{table}.tsv" for table in ("", "_summary", "_safety")] if SCORED else [],
        rules.rounds.input,
        expand("results/cases/{case}/interactive/clicks_{clicks}/lesions.nii.gz", case=SCORED, clicks=CLICK_STEPS),


rule predict:
    """Masks and lesion tables of new patients (rows with split predict)."""
    input:
        expand(
            "results/cases/{case}/{file}",
            case=slugs("predict"),
            file=["lesions.nii.gz", "lesion_table.csv", "study.json", "prediction.json", "mip.png", "patient.html"],
        ),
        expand(list(PREDICTION_MAPS.values()), case=slugs("predict")),


rule report:
    """The report."""
    input:
        "results/report.html",
        "results/ro-crate-metadata.json",
        expand("results/cases/{case}/mip.png", case=SCORED),


rule all:
    """Train, cross-validate, score, segment new patients, report. Names every kept file, so that a lost one comes back."""
    default_target: True
    input:
        rules.prepare.input,
        rules.train.input,
        rules.evaluate.input,
        rules.predict.input,
        rules.report.input,
        expand(
            "results/cases/{case}/{file}",
            case=CASES,
            file=[
                *["ct.nii.gz", "suv.nii.gz", "case.json", "clicks.json", "quality.json", "mip.npy", "tracer.json"],
                *["lesions_raw.nii.gz", "prediction.json", "disagreement.npy", "lesions.nii.gz"],
                *["mip_overlay.png", "mip_rotation.png", "lesion_slices.png"],
            ],
        ),
        expand("results/predictions/{bucket}.json", bucket=CASES_OF_BUCKET),
        set(map(options_file, CASES)),
        expand(list({**PREDICTION_MAPS, **COMPONENT_PROBABILITY, **POSTPROCESS_RECORD}.values()), case=CASES),
        expand(
            "results/cases/{case}/{file}",
            case=SCORED,
            file=[
                *["truth.nii.gz", "truth.json", "lesion_intensities.npy", "score.json", "lesion_scores.csv"],
            ],
        ),
        expand("results/cases/{case}/organs.nii.gz", case=TRAIN if config["organs"]["provider"] != "none" else []),
        [
            expand("results/nnunet/{tracer}/{case}{part}", tracer=t, case=train_cases(t), part=PREPROCESSED)
            for t in TRAINED
        ],
        expand(
            "results/models/{tracer}/{file}.json",
            tracer=TRAINED,
            file=["dataset", "dataset_fingerprint", "resencl_plans", "plans", "training_set"],
        ),
        expand("results/models/{model}/{networks}.json", model=[*TRAINED, *DISCRIMINATOR], networks=NETWORK_LISTS),
        expand("results/models/tracer/fold_{fold}/training.json", fold=DISCRIMINATOR_FOLDS),
        expand("results/models/{discriminator}/mips.npy", discriminator=DISCRIMINATOR),
        "results/lesion_counts.json" if TRAIN else [],
        rules.rank_worklist.output,
        [*rules.draw_figures.output, "results/models/tracer/accuracy.json"] if SCORED else [],
        "results/provenance.json",
        expand("results/models/{tracer}/fold_{fold}/training.json", tracer=TRAINED, fold=FOLDS),
        ["results/calibration.json", "results/calibration.tsv"] if config["predict"]["mirroring"] == "budget" else [],
        rules.interactive.input if INTERACTIVE else [],
        rules.rounds.input,
        expand(
            "results/cases/{case}/{protocol}/round_{number}/{file}",
            case=SCORED,
            protocol=ROUND_PROTOCOLS,
            number=ROUNDS,
            file=["lesions.nii.gz", "interaction.json", "score.json"],
        ),
        expand(
            "results/cases/{case}/{protocol}/{file}",
            case=SCORED,
            protocol=ROUND_PROTOCOLS,
            file=["lesions.csv", "rounds.png"],
        ),
        expand(
            "results/cases/{case}/interactive/clicks_{clicks}/{file}",
            case=SCORED if INTERACTIVE else [],
            clicks=CLICK_STEPS,
            file=["lesions_raw.nii.gz", "score.json"],
        ),
        [expand(files, case=SCORED if INTERACTIVE else []) for files in {**STEP_PROBABILITIES, **STEP_RECORDS}.values()],
