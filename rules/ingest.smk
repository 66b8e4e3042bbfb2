# Scans as they come -> SUV, HU and truth on the PET's grid; folds; the cohort with slugs. Paper, section 2.1.


rule import_case:
    """Bring CT and PET onto the PET's grid as HU and SUV."""
    input:
        ct=column("ct"),
        pet=column("pet"),
        metadata=lambda wildcards: metadata_files(study(wildcards).pet),
    output:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        record="results/cases/{case}/case.json",
    log:
        "logs/import_case/{case}.log",
    benchmark:
        "benchmarks/import_case/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        name=column("case"),
        suv_timing=config["ingest"]["suv_timing"],
        code=code("import_case"),
    script:
        "../scripts/import_case.py"


rule import_label:
    """Bring the expert's lesion mask onto the PET's grid and note what nnU-Net's fingerprint needs of the case."""
    input:
        label=column("label"),
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
    output:
        truth="results/cases/{case}/truth.nii.gz",
        record="results/cases/{case}/truth.json",
        intensities="results/cases/{case}/lesion_intensities.npy",
    log:
        "logs/import_label/{case}.log",
    benchmark:
        "benchmarks/import_label/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        regions=config["ingest"]["label_regions"],
        values=config["ingest"]["label_values"],
        drawn_on=lambda wildcards: [study(wildcards).pet, study(wildcards).ct],
        code=code("import_label"),
    script:
        "../scripts/import_label.py"


rule count_lesions:
    """The number of lesions of every train case, in one short file: all cases wait for the folds that follow from it."""
    input:
        truths=expand("results/cases/{case}/truth.json", case=TRAIN),
    output:
        counts="results/lesion_counts.json",
    log:
        "logs/count_lesions.log",
    benchmark:
        "benchmarks/count_lesions/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        slugs=TRAIN,
        code=code("count_lesions"),
    script:
        "../scripts/count_lesions.py"


rule split_patients:
    """Share the train patients out among the folds, once for all models."""
    input:
        counts="results/lesion_counts.json",
        given=config["splits"] or [],
    output:
        splits=update("results/splits.json"),  # a draw that fails leaves the folds as they are
    log:
        "logs/split_patients.log",
    benchmark:
        "benchmarks/split_patients/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        cases=[
            {
                "case": STUDIES[case].case,
                "slug": case,
                "patient": STUDIES[case].patient,
                "tracer": STUDIES[case].tracer,
            }
            for case in TRAIN
        ],
        n_folds=len(NUMBERED_FOLDS),
        seed=config["seed"],
        code=code("split_patients"),
    script:
        "../scripts/split_patients.py"


rule list_cohort:
    """The cohort with slugs and folds. Written when every input of every case has been read and found sound."""
    input:
        table=config["cohort"],
        splits="results/splits.json" if TRAIN else [],
        records=expand("results/cases/{case}/case.json", case=CASES),
        truths=expand("results/cases/{case}/truth.json", case=SCORED),
        clicks=expand("results/cases/{case}/clicks.json", case=CASES),
    output:
        cohort=update("results/cohort.tsv"),
    log:
        "logs/list_cohort.log",
    benchmark:
        "benchmarks/list_cohort/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code("list_cohort"),
    script:
        "../scripts/list_cohort.py"


rule check_quality:
    """Look for what is wrong with a study: grid, SUV, HU, coverage, label, clicks, liver level."""
    input:
        suv="results/cases/{case}/suv.nii.gz",
        ct="results/cases/{case}/ct.nii.gz",
        truth=truth_if_any,
        organs=given_organs_if_any,
        clicks="results/cases/{case}/clicks.json",
        record="results/cases/{case}/case.json",
        label_record=label_record_if_any,
    output:
        quality="results/cases/{case}/quality.json",
    log:
        "logs/check_quality/{case}.log",
    benchmark:
        "benchmarks/check_quality/{case}.tsv"
    priority: 100
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        case=column("case"),
        slug="{case}",
        tracer=column("tracer"),
        thresholds=config["quality"],
        code=code("check_quality"),
    script:
        "../scripts/check_quality.py"


rule rank_findings:
    """All findings of the cohort, worst first."""
    input:
        quality=expand("results/cases/{case}/quality.json", case=CASES),
    output:
        quality="results/quality.tsv",
    log:
        "logs/rank_findings.log",
    benchmark:
        "benchmarks/rank_findings/all.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code("rank_findings"),
    script:
        "../scripts/rank_findings.py"


# Trainings and TotalSegmentator wait for this file, whatever its time. It is never deleted by a run that fails or is
# killed (`update`), because then all of them would begin again.
rule require_sound_studies:
    """Stop the run at a hard finding, before anything is trained."""
    input:
        quality="results/quality.tsv",
    output:
        sound=update("results/sound_studies.txt"),
    log:
        "logs/require_sound_studies.log",
    benchmark:
        "benchmarks/require_sound_studies/all.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code("require_sound_studies"),
    script:
        "../scripts/require_sound_studies.py"
