# The lesion models: nnU-Net with a second head for organs. Paper, section 2.2 "Segmentation Models".


rule check_gpu:
    """Whether the configured training runs on this machine: real steps on made-up data, in a minute."""
    output:
        check="results/gpu_check.json",
    log:
        "logs/check_gpu.log",
    benchmark:
        "benchmarks/check_gpu/all.tsv"
    priority: 1000
    conda:
        "../envs/deep.yaml"
    threads: 8
    resources:
        mem_mb=32000,
        runtime=20,
    params:
        patch_size=config["train"]["patch_size"],
        batch_size=config["train"]["batch_size"],
        topology=config["train"]["topology"],
        spacing_mm=config["train"]["spacing_mm"],
        organs=config["organs"]["provider"] != "none",
        options=TRAINING_OPTIONS,
        code=code("check_gpu"),
    script:
        "../scripts/check_gpu.py"


rule fingerprint_cohort:
    """nnU-Net's dataset fingerprint of the train cases of a tracer."""
    input:
        records=lambda wildcards: expand("results/cases/{case}/truth.json", case=train_cases(wildcards.tracer)),
        intensities=lambda wildcards: expand(
            "results/cases/{case}/lesion_intensities.npy", case=train_cases(wildcards.tracer)
        ),
    output:
        fingerprint="results/models/{tracer}/dataset_fingerprint.json",
    log:
        "logs/fingerprint_cohort/{tracer}.log",
    benchmark:
        "benchmarks/fingerprint_cohort/{tracer}.tsv"
    conda:
        "../envs/deep.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("fingerprint_cohort"),
    script:
        "../scripts/fingerprint_cohort.py"


rule plan_cohort:
    """nnU-Net's ResEncL plans: grid, normalisation and resampling."""
    input:
        fingerprint="results/models/{tracer}/dataset_fingerprint.json",
        pretrained=(config["train"]["pretrained_normalisation"] and config["train"]["pretrained"]) or [],
    output:
        plans="results/models/{tracer}/resencl_plans.json",
    log:
        "logs/plan_cohort/{tracer}.log",
    benchmark:
        "benchmarks/plan_cohort/{tracer}.tsv"
    localrule: True
    conda:
        "../envs/deep.yaml"
    params:
        spacing_mm=config["train"]["spacing_mm"],
        code=code("plan_cohort"),
    script:
        "../scripts/plan_cohort.py"


rule plan_training:
    """Fit the network to the configured patch and channels; nnU-Net's dataset description."""
    input:
        plans="results/models/{tracer}/resencl_plans.json",
        fingerprint="results/models/{tracer}/dataset_fingerprint.json",
    output:
        dataset="results/models/{tracer}/dataset.json",
        plans="results/models/{tracer}/plans.json",
    log:
        "logs/plan_training/{tracer}.log",
    benchmark:
        "benchmarks/plan_training/{tracer}.tsv"
    localrule: True
    conda:
        "../envs/deep.yaml"
    params:
        patch_size=config["train"]["patch_size"],
        batch_size=config["train"]["batch_size"],
        topology=config["train"]["topology"],
        organs=config["organs"]["provider"] != "none",
        previous_mask=config["train"]["previous_mask"],
        code=code("plan_training"),
    script:
        "../scripts/plan_training.py"


rule preprocess_case:
    """Normalise and resample a train case with nnU-Net's own preprocessing."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        clicks="results/cases/{case}/clicks.json",
        truth="results/cases/{case}/truth.nii.gz",
        organs=organs_if_any,
        plans="results/models/{tracer}/resencl_plans.json",
    output:
        data="results/nnunet/{tracer}/{case}.b2nd",
        segmentation="results/nnunet/{tracer}/{case}_seg.b2nd",
        properties="results/nnunet/{tracer}/{case}.pkl",
    log:
        "logs/preprocess_case/{tracer}/{case}.log",
    benchmark:
        "benchmarks/preprocess_case/{tracer}/{case}.tsv"
    conda:
        "../envs/deep.yaml"
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        heatmap=config["heatmap"],
        with_heatmap=config["train"]["training_clicks"] == "all",
        code=code("preprocess_case"),
    script:
        "../scripts/preprocess_case.py"


rule list_training_set:
    """What the trainings of a tracer read, as one short file: with thousands of inputs each the DAG took minutes."""
    input:
        properties=lambda wildcards: expand("results/nnunet/{{tracer}}/{case}.pkl", case=train_cases(wildcards.tracer)),
        data=lambda wildcards: expand(
            "results/nnunet/{{tracer}}/{case}{part}", case=train_cases(wildcards.tracer), part=BLOCKS
        ),
    output:
        cases="results/models/{tracer}/training_set.json",
    log:
        "logs/list_training_set/{tracer}.log",
    benchmark:
        "benchmarks/list_training_set/{tracer}.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        slugs=lambda wildcards: train_cases(wildcards.tracer),
        code=code("list_training_set"),
    script:
        "../scripts/list_training_set.py"


rule train_lesion_fold:
    """Train a lesion model on the train cases of all other folds; goes on where a killed training stopped."""
    input:
        cases="results/models/{tracer}/training_set.json",
        plans="results/models/{tracer}/plans.json",
        dataset="results/models/{tracer}/dataset.json",
        fingerprint="results/models/{tracer}/dataset_fingerprint.json",
        splits="results/splits.json",
        pretrained=config["train"]["pretrained"] or [],
        sound=ancient("results/sound_studies.txt"),
    output:
        checkpoint="results/models/{tracer}/fold_{fold}/checkpoint_final.pth",
        training="results/models/{tracer}/fold_{fold}/training.json",
    log:
        "logs/train_lesion_fold/{tracer}/{fold}.log",
    benchmark:
        "benchmarks/train_lesion_fold/{tracer}/{fold}.tsv"
    conda:
        "../envs/deep.yaml"
    threads: 8
    resources:
        mem_mb=64000,
        runtime=2880,
        save_every=config["train"]["save_every"],
        checkpoint=training_state_of,
    params:
        cases=lambda wildcards: train_cases(wildcards.tracer),
        options=training_options,
        method=TRAINING_METHOD,
        code=code("train_lesion_fold"),
    script:
        "../scripts/train_lesion_fold.py"


rule list_networks:
    """Digests of the networks of a fold, for the train cases that it held out, or of all folds, for other cases."""
    input:
        files=lambda wildcards: files_of_model("results/models", wildcards.model, NETWORK_LISTS[wildcards.networks]),
        trainings=lambda wildcards: expand(
            "results/models/{{model}}/fold_{fold}/training.json", fold=NETWORK_LISTS[wildcards.networks]
        ),
    output:
        networks="results/models/{model}/{networks}.json",
    log:
        "logs/list_networks/{model}/{networks}.log",
    benchmark:
        "benchmarks/list_networks/{model}/{networks}.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        folds=lambda wildcards: NETWORK_LISTS[wildcards.networks],
        code=code("list_networks"),
    script:
        "../scripts/list_networks.py"


rule record_settings:
    """What must be told with the models: their folds, and the heatmaps and MIPs that they were trained with."""
    input:
        expand("results/models/{tracer}/fold_{fold}/checkpoint_final.pth", tracer=TRAINED, fold=FOLDS),
        expand("results/models/tracer/fold_{fold}/checkpoint.pth", fold=DISCRIMINATOR_FOLDS),
    output:
        settings="results/models/settings.json",
    log:
        "logs/record_settings.log",
    benchmark:
        "benchmarks/record_settings/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        folds={**{tracer: FOLDS for tracer in TRAINED}, "tracer": DISCRIMINATOR_FOLDS},
        heatmap=config["heatmap"],
        mip=MIP_OPTIONS,
        code=code("record_settings"),
    script:
        "../scripts/record_settings.py"


# where trainings ask for a GPU the check comes first of all jobs: what cannot work says so before days of preparation
GPU_CHECK = ["results/gpu_check.json"] if TRAINED and asks_for_gpu("train_lesion_fold") else []
