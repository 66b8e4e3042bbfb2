# Lesions by the models of the tracer that was found. Paper, section 2.2 "Dynamic Inference Depth".


rule predict_case:
    """Segment a case: with the fold that never saw its patient (train) or with the ensemble (test, predict)."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        heatmap="results/cases/{case}/heatmap.nii.gz",
        tracer="results/cases/{case}/tracer.json",
        findings=findings_if_new,
        splits=splits_if_train,
        models=lesion_models,
        calibration=calibration_if_any,
    output:
        **PREDICTION_MAPS,
        **COMPONENT_PROBABILITY,
        mask="results/cases/{case}/lesions_raw.nii.gz",
        prediction="results/cases/{case}/prediction.json",
        disagreement="results/cases/{case}/disagreement.npy",
    log:
        "logs/predict_case/{case}.log",
    benchmark:
        "benchmarks/predict_case/{case}.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 4
    resources:
        mem_mb=24000,
        runtime=minutes_of_prediction(heatmaps=1),
    params:
        slug="{case}",
        split=column("split"),
        folds=lesion_folds_for,
        models=lesion_model_folders,
        predict=PREDICT_OPTIONS,
        code=code("predict_case"),
    script:
        "../scripts/predict_case.py"


rule predict_interactive:
    """Segment a case at every number of clicks, with one reading of its scans and models."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        clicks="results/cases/{case}/clicks.json",
        tracer="results/cases/{case}/tracer.json",
        splits=splits_if_train,
        models=lesion_models,
        calibration=calibration_if_any,
    output:
        **STEP_PROBABILITIES,
        masks=expand("results/cases/{{case}}/interactive/clicks_{clicks}/lesions_raw.nii.gz", clicks=CLICK_STEPS),
    log:
        "logs/predict_interactive/{case}.log",
    benchmark:
        "benchmarks/predict_interactive/{case}.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 4
    resources:
        mem_mb=24000,
        runtime=minutes_of_prediction(heatmaps=len(CLICK_STEPS)),
    params:
        slug="{case}",
        split=column("split"),
        folds=lesion_folds_for,
        models=lesion_model_folders,
        predict=PREDICT_OPTIONS,
        heatmap=config["heatmap"],
        steps=CLICK_STEPS,
        code=code("predict_interactive"),
    script:
        "../scripts/predict_interactive.py"


rule predict_rounds:
    """Segment a case round by round, each time with what a reader marked on the mask of the round before."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        truth="results/cases/{case}/truth.nii.gz",
        tracer="results/cases/{case}/tracer.json",
        replay=replay_files,
        splits=splits_if_train,
        models=lesion_models,
        calibration=calibration_if_any,
    output:
        masks=expand("results/cases/{{case}}/{{protocol}}/round_{number}/lesions.nii.gz", number=ROUNDS),
        interactions=expand("results/cases/{{case}}/{{protocol}}/round_{number}/interaction.json", number=ROUNDS),
    log:
        "logs/predict_rounds/{case}_{protocol}.log",
    benchmark:
        "benchmarks/predict_rounds/{case}_{protocol}.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 4
    resources:
        mem_mb=24000,
        runtime=minutes_of_prediction(heatmaps=len(ROUNDS)),
    params:
        slug="{case}",
        protocol="{protocol}",
        split=column("split"),
        folds=lesion_folds_for,
        models=lesion_model_folders,
        predict=PREDICT_OPTIONS,
        postprocess=config["postprocess"],
        heatmap=config["heatmap"],
        seed=config["seed"],
        code=code("predict_rounds"),
    script:
        "../scripts/predict_rounds.py"


rule calibrate:
    """Time this machine's loading and forward passes, for predict.mirroring: budget."""
    input:
        plans=[f"{config['predict']['models'] or 'results/models'}/{model}/plans.json" for model in NEW_MODELS],
        models=[
            f"{config['predict']['models'] or 'results/models'}/{model}/fold_{fold}/checkpoint_final.pth"
            for model, folds in NEW_MODELS.items()
            for fold in folds
        ],
    output:
        calibration="results/calibration.json",
        table="results/calibration.tsv",
    log:
        "logs/calibrate.log",
    benchmark:
        "benchmarks/calibrate/all.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        folds=NEW_MODELS,
        code=code("calibrate"),
    script:
        "../scripts/calibrate.py"
