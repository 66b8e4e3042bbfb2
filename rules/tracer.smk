# Which tracer was given? A small network looks at the MIP. Paper, section 2.2 "Tracer Discriminator".


rule render_mip:
    """Coronal maximum intensity projection of the PET, as an array and as a picture."""
    input:
        suv="results/cases/{case}/suv.nii.gz",
    output:
        mip="results/cases/{case}/mip.npy",
        picture="results/cases/{case}/mip.png",
    log:
        "logs/render_mip/{case}.log",
    benchmark:
        "benchmarks/render_mip/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        options=mip_of,
        code=code("render_mip"),
    script:
        "../scripts/render_mip.py"


rule stack_mips:
    """The MIPs of all train cases in one file, which every fold reads."""
    input:
        mips=expand("results/cases/{case}/mip.npy", case=TRAIN),
    output:
        mips="results/models/tracer/mips.npy",
    log:
        "logs/stack_mips.log",
    benchmark:
        "benchmarks/stack_mips/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code("stack_mips"),
    script:
        "../scripts/stack_mips.py"


rule train_tracer_fold:
    """Train the discriminator on the train cases of all other folds."""
    input:
        mips="results/models/tracer/mips.npy",
        splits="results/splits.json",
        sound=ancient("results/sound_studies.txt"),
    output:
        checkpoint="results/models/tracer/fold_{fold}/checkpoint.pth",
        training="results/models/tracer/fold_{fold}/training.json",
    log:
        "logs/train_tracer_fold/{fold}.log",
    benchmark:
        "benchmarks/train_tracer_fold/{fold}.tsv"
    conda:
        "../envs/deep.yaml"
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        **{key: config["tracer"][key] for key in ("epochs", "learning_rate", "batch_size", "patience", "weight_decay")},
        slugs=TRAIN,
        tracers=[STUDIES[case].tracer for case in TRAIN],
        patients=[STUDIES[case].patient for case in TRAIN],
        seed=config["seed"],
        code=code("train_tracer_fold"),
    script:
        "../scripts/train_tracer_fold.py"


rule find_tracer:
    """Ask the discriminator: the fold that never saw the patient for train cases, the majority of all for others."""
    input:
        mip="results/cases/{case}/mip.npy",
        models=tracer_models,
        splits=splits_if_train,
    output:
        tracer="results/cases/{case}/tracer.json",
    log:
        "logs/find_tracer/{case}.log",
    benchmark:
        "benchmarks/find_tracer/{case}.tsv"
    conda:
        "../envs/deep.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        slug="{case}",
        models_folder=of_case(models_of),
        folds=lambda wildcards: folds_for(wildcards.case, "tracer"),
        given=given_tracer,
        only=lambda wildcards: tracers_for(wildcards.case)[0] if len(tracers_for(wildcards.case)) == 1 else "",
        out_of_fold=lambda wildcards: study(wildcards).split == "train",
        code=code("find_tracer"),
    script:
        "../scripts/find_tracer.py"


rule report_tracer_accuracy:
    """How often the discriminator is right on the scored cases."""
    input:
        tracers=expand("results/cases/{case}/tracer.json", case=SCORED),
        splits="results/splits.json",
    output:
        accuracy="results/models/tracer/accuracy.json",
    log:
        "logs/report_tracer_accuracy.log",
    benchmark:
        "benchmarks/report_tracer_accuracy/all.tsv"
    localrule: True
    conda:
        "../envs/deep.yaml"
    params:
        rows=[
            {"case": STUDIES[case].case, "slug": case, "tracer": STUDIES[case].tracer, "split": STUDIES[case].split}
            for case in SCORED
        ],
        code=code("report_tracer_accuracy"),
    script:
        "../scripts/report_tracer_accuracy.py"
