# Lesions by the models of the tracer that was found. Paper, section 2.2 "Dynamic Inference Depth".


rule record_prediction_options:
    """Write down what all predictions have in common: another value re-runs them, by way of this file."""

    # `predict_case` takes its bucket as `ancient`. Snakemake asks a job downstream of one that will run for no reasons
    # of its own, not even where `ancient` lies between them, so each reason to predict anew is a file that a job makes
    input:
        models=lambda wildcards: imported_files() if wildcards.origin == "imported" else [],
        calibration=calibration_if_any,
    output:
        options="results/predictions/options_{origin}.json",
    log:
        "logs/record_prediction_options/{origin}.log",
    benchmark:
        "benchmarks/record_prediction_options/{origin}.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        predict=PREDICT_OPTIONS,
        maps=MAPS,
        networks=networks_of,
        method=code("predict_bucket"),
        code=code("record_prediction_options") + code("predict_case"),
    script:
        "../scripts/record_prediction_options.py"


rule predict_bucket:
    """Segment the cases of a bucket, each network loaded once; predictions that are there are kept."""
    input:
        ct=files_in_bucket("ct.nii.gz"),
        suv=files_in_bucket("suv.nii.gz"),
        heatmap=files_in_bucket("heatmap.nii.gz"),
        tracer=files_in_bucket("tracer.json"),
        findings=bucket_findings_if_new,
        splits=splits_if_train_bucket,
        models=bucket_models,
        options=lambda wildcards: options_file(bucket_members(wildcards)[0]),
    output:
        bucket="results/predictions/{split}_{bucket}.json",
    log:
        "logs/predict_bucket/{split}_{bucket}.log",
    benchmark:
        "benchmarks/predict_bucket/{split}_{bucket}.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 4
    resources:
        mem_mb=24000,
        runtime=minutes_of_bucket,
    params:
        folder=subpath(output.bucket, parent=True),
        cases=prediction_bucket,
        code=code("predict_bucket"),
    script:
        "../scripts/predict_bucket.py"


rule predict_case:
    """Take a case out of its bucket: segmented by the fold that never saw its patient (train) or by the ensemble."""
    input:
        # a bucket that runs again for another case redoes no other
        bucket=ancient(lambda wildcards: f"results/predictions/{PREDICTION_BUCKETS[wildcards.case]}.json"),
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        heatmap="results/cases/{case}/heatmap.nii.gz",
        tracer="results/cases/{case}/tracer.json",
        findings=findings_if_new,
        splits=splits_if_train,
        models=lesion_models,
        options=of_case(options_file),
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
        "../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        folder=subpath(input.bucket, parent=True),
        case=of_case(case_of_bucket),
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
        folds=of_case(lesion_folds),
        models=of_case(lesion_model_folders),
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
        folds=of_case(lesion_folds),
        models=of_case(lesion_model_folders),
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
