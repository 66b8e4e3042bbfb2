# Masks against the truth, by the official definitions. Paper, section 3.


rule score_case:
    """Dice, FPV, FNV, lesion detection and a table of the lesions of a scored case."""
    input:
        mask="results/cases/{case}/lesions.nii.gz",
        truth="results/cases/{case}/truth.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        tracer_json="results/cases/{case}/tracer.json",
        splits=splits_if_train,
    output:
        score="results/cases/{case}/score.json",
        lesions="results/cases/{case}/lesion_scores.csv",
    log:
        "logs/score_case/{case}.log",
    benchmark:
        "benchmarks/score_case/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        row=labels_of,
        code=code("score_case"),
    script:
        "../scripts/score_case.py"


rule measure_lesions:
    """A table of the lesions found, as a clinician reads it; needs no truth."""
    input:
        mask="results/cases/{case}/lesions.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        truth=truth_if_any,
        raw="results/cases/{case}/lesions_raw.nii.gz",
        disagreement="results/cases/{case}/disagreement.npy",
        organs=organs_under_lesions_if_any,
    output:
        lesions="results/cases/{case}/lesion_table.csv",
        study="results/cases/{case}/study.json",
    log:
        "logs/measure_lesions/{case}.log",
    benchmark:
        "benchmarks/measure_lesions/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        row=labels_of,
        code=code("measure_lesions"),
    script:
        "../scripts/measure_lesions.py"


rule score_interactive:
    """Post-process and score a case at every number of clicks."""
    input:
        **STEP_PROBABILITIES,
        masks=expand("results/cases/{{case}}/interactive/clicks_{clicks}/lesions_raw.nii.gz", clicks=CLICK_STEPS),
        clicks="results/cases/{case}/clicks.json",
        truth="results/cases/{case}/truth.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        tracer_json="results/cases/{case}/tracer.json",
        splits=splits_if_train,
    output:
        **STEP_RECORDS,
        masks=expand("results/cases/{{case}}/interactive/clicks_{clicks}/lesions.nii.gz", clicks=CLICK_STEPS),
        scores=expand("results/cases/{{case}}/interactive/clicks_{clicks}/score.json", clicks=CLICK_STEPS),
    log:
        "logs/score_interactive/{case}.log",
    benchmark:
        "benchmarks/score_interactive/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        row=labels_of,
        steps=CLICK_STEPS,
        postprocess=config["postprocess"],
        code=code("score_interactive"),
    script:
        "../scripts/score_interactive.py"


rule summarise_scores:
    """A row a case, and means with confidence intervals by tracer, centre and fold."""
    input:
        scores=expand("results/cases/{case}/score.json", case=SCORED),
        lesions=expand("results/cases/{case}/lesion_scores.csv", case=SCORED),
    output:
        scores="results/scores.tsv",
        summary="results/summary.tsv",
        latex="results/summary.tex",
        sizes="results/lesion_sizes.tsv",
        lesion_free="results/lesion_free.tsv",
    log:
        "logs/summarise_scores.log",
    benchmark:
        "benchmarks/summarise_scores/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        seed=config["seed"],
        repeats=config["evaluate"]["bootstrap_repeats"],
        confidence=config["evaluate"]["confidence"],
        code=code("summarise_scores"),
    script:
        "../scripts/summarise_scores.py"


rule rank_worklist:
    """Studies worst first by findings, score and disagreement of the folds: what a person should look at next."""
    input:
        cohort="results/cohort.tsv",
        quality=FINDINGS,
        scores="results/scores.tsv" if SCORED else [],
        predictions=expand("results/cases/{case}/prediction.json", case=CASES),
    output:
        worklist="results/worklist.tsv",
        settings="results/worklist.json",
    log:
        "logs/rank_worklist.log",
    benchmark:
        "benchmarks/rank_worklist/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        settings={
            "cohort": config["cohort"],
            "config": {name: config[name] for name in ("clicks", "heatmap", "predict", "postprocess")},
        },
        code=code("rank_worklist"),
    script:
        "../scripts/rank_worklist.py"


rule summarise_interactive:
    """A row a case and number of clicks, the areas under the curves, and the mean curves."""
    input:
        scores=expand("results/cases/{case}/interactive/clicks_{clicks}/score.json", case=SCORED, clicks=CLICK_STEPS),
    output:
        interactive="results/interactive.tsv",
        summary="results/interactive_summary.tsv",
        safety="results/interactive_safety.tsv",
    log:
        "logs/summarise_interactive.log",
    benchmark:
        "benchmarks/summarise_interactive/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        seed=config["seed"],
        repeats=config["evaluate"]["bootstrap_repeats"],
        confidence=config["evaluate"]["confidence"],
        code=code("summarise_interactive"),
    script:
        "../scripts/summarise_interactive.py"


rule score_rounds:
    """Score a case in every round: overlap, lesions, and how interaction was answered."""
    input:
        masks=expand("results/cases/{{case}}/{{protocol}}/round_{number}/lesions.nii.gz", number=ROUNDS),
        interactions=expand("results/cases/{{case}}/{{protocol}}/round_{number}/interaction.json", number=ROUNDS),
        truth="results/cases/{case}/truth.nii.gz",
        tracer_json="results/cases/{case}/tracer.json",
        splits=splits_if_train,
    output:
        scores=expand("results/cases/{{case}}/{{protocol}}/round_{number}/score.json", number=ROUNDS),
        lesions="results/cases/{case}/{protocol}/lesions.csv",
    log:
        "logs/score_rounds/{case}_{protocol}.log",
    benchmark:
        "benchmarks/score_rounds/{case}_{protocol}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        row=labels_of,
        code=code("score_rounds"),
    script:
        "../scripts/score_rounds.py"


rule summarise_rounds:
    """A row a case and round, curves and areas, safety of interaction, lesions by size, lesion-free studies."""
    input:
        scores=expand("results/cases/{case}/{{protocol}}/round_{number}/score.json", case=SCORED, number=ROUNDS),
        lesions=expand("results/cases/{case}/{{protocol}}/lesions.csv", case=SCORED),
    output:
        rounds="results/{protocol}.tsv",
        summary="results/{protocol}_summary.tsv",
        safety="results/{protocol}_safety.tsv",
        sizes="results/{protocol}_sizes.tsv",
        lesion_free="results/{protocol}_lesion_free.tsv",
    log:
        "logs/summarise_rounds/{protocol}.log",
    benchmark:
        "benchmarks/summarise_rounds/{protocol}.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        seed=config["seed"],
        repeats=config["evaluate"]["bootstrap_repeats"],
        confidence=config["evaluate"]["confidence"],
        code=code("summarise_rounds"),
    script:
        "../scripts/summarise_rounds.py"
