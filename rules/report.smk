# What a reader gets: figures, provenance and one self-contained page. Paper, section 3.

# the figures of the run: those that it has something to draw for
FIGURES = ["dice_by_case", "bland_altman_tmtv", "sensitivity_by_volume", "mip_gallery"]
FIGURES += ["training_curves"] if TRAINED else []
FIGURES += ["interactive_curves"] if INTERACTIVE else []
FIGURES += [f"{protocol}_curves" for protocol in ROUND_PROTOCOLS]
FIGURES = FIGURES if SCORED else []
TEMPLATES = [
    content_hash(f"{workflow.basedir}/clickpet/report/templates/{file}") for file in ["report.html.j2", "report.js"]
]
SCORES = {"scores": "results/scores.tsv", "summary": "results/summary.tsv"} if SCORED else {}


rule draw_case_figure:
    """Projections of a case with truth, prediction and clicks, turned around, and axial slices of its lesions."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        tracer_json="results/cases/{case}/tracer.json",
        lesions="results/cases/{case}/lesions.nii.gz",
        clicks="results/cases/{case}/clicks.json",
        truth=truth_if_any,
    output:
        picture="results/cases/{case}/mip_overlay.png",
        rotation="results/cases/{case}/mip_rotation.png",
        slices="results/cases/{case}/lesion_slices.png",
    log:
        "logs/draw_case_figure/{case}.log",
    benchmark:
        "benchmarks/draw_case_figure/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        tracer=column("tracer"),
        code=code("draw_case_figure"),
    script:
        "../scripts/draw_case_figure.py"


rule draw_rounds_of_case:
    """The rounds of a case side by side: truth, prediction, and what was added in each."""
    input:
        suv="results/cases/{case}/suv.nii.gz",
        truth="results/cases/{case}/truth.nii.gz",
        tracer_json="results/cases/{case}/tracer.json",
        masks=expand("results/cases/{{case}}/{{protocol}}/round_{number}/lesions.nii.gz", number=ROUNDS),
        interactions=expand("results/cases/{{case}}/{{protocol}}/round_{number}/interaction.json", number=ROUNDS),
    output:
        picture="results/cases/{case}/{protocol}/rounds.png",
    log:
        "logs/draw_rounds_of_case/{case}_{protocol}.log",
    benchmark:
        "benchmarks/draw_rounds_of_case/{case}_{protocol}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        tracer=column("tracer"),
        code=code("draw_rounds_of_case"),
    script:
        "../scripts/draw_rounds_of_case.py"


rule draw_figures:
    """The figures of the results section, for a page (PNG) and for print (SVG, PDF)."""
    input:
        scores="results/scores.tsv",
        interactive="results/interactive.tsv" if INTERACTIVE else [],
        rounds_summaries=expand("results/{protocol}_summary.tsv", protocol=ROUND_PROTOCOLS if SCORED else []),
        lesion_tables=expand("results/cases/{case}/lesion_scores.csv", case=SCORED),
        case_pictures=expand("results/cases/{case}/mip_overlay.png", case=SCORED),
        training=expand("results/models/{tracer}/fold_{fold}/training.json", tracer=TRAINED, fold=FOLDS),
        tracer_training=expand("results/models/tracer/fold_{fold}/training.json", fold=DISCRIMINATOR_FOLDS),
    output:
        pictures=report(expand("results/figures/{figure}.png", figure=FIGURES), category="Figures"),
        drawings=expand("results/figures/{figure}.{format}", figure=FIGURES, format=["svg", "pdf"]),
    log:
        "logs/draw_figures.log",
    benchmark:
        "benchmarks/draw_figures/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        seed=config["seed"],
        repeats=config["evaluate"]["bootstrap_repeats"],
        confidence=config["evaluate"]["confidence"],
        code=code("draw_figures"),
    script:
        "../scripts/draw_figures.py"


rule write_provenance:
    """Config, versions, seeds, hashes and what the jobs took."""
    input:
        **SCORES,
        cohort="results/cohort.tsv",
    output:
        provenance="results/provenance.json",
    log:
        "logs/write_provenance.log",
    benchmark:
        "benchmarks/write_provenance/all.tsv"
    localrule: True
    conda:
        "../envs/deep.yaml"
    params:
        config=config,
        benchmarks="benchmarks",
        code=code("write_provenance"),
    script:
        "../scripts/write_provenance.py"


rule write_report:
    """One page that tells what was done and what came out; works offline."""
    input:
        **SCORES,
        cohort="results/cohort.tsv",
        quality=FINDINGS,
        interactive="results/interactive.tsv" if INTERACTIVE and SCORED else [],
        interactive_summary="results/interactive_summary.tsv" if INTERACTIVE and SCORED else [],
        interactive_safety="results/interactive_safety.tsv" if INTERACTIVE and SCORED else [],
        rounds=ROUND_TABLES,
        rounds_pictures=expand("results/cases/{case}/{protocol}/rounds.png", case=SCORED, protocol=ROUND_PROTOCOLS),
        accuracy="results/models/tracer/accuracy.json" if SCORED else [],
        figures=expand("results/figures/{figure}.png", figure=FIGURES),
        lesion_tables=expand("results/cases/{case}/lesion_scores.csv", case=SCORED),
        training=expand("results/models/{tracer}/fold_{fold}/training.json", tracer=TRAINED, fold=FOLDS),
        tracer_training=expand("results/models/tracer/fold_{fold}/training.json", fold=DISCRIMINATOR_FOLDS),
        case_pictures=expand("results/cases/{case}/mip_overlay.png", case=CASES),
        rotations=expand("results/cases/{case}/mip_rotation.png", case=CASES),
        lesion_slices=expand("results/cases/{case}/lesion_slices.png", case=CASES),
        case_json=expand("results/cases/{case}/case.json", case=CASES),
        predictions=expand("results/cases/{case}/prediction.json", case=CASES),
        studies=expand("results/cases/{case}/study.json", case=slugs("predict")),
        provenance="results/provenance.json",
    output:
        report=report("results/report.html", category="Report"),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        worst_cases=config["report"]["worst_cases"],
        template=TEMPLATES,
        code=code("write_report"),
    script:
        "../scripts/write_report.py"


rule write_crate:
    """The run as an RO-Crate: what lies where, with checksums."""
    input:
        **SCORES,
        provenance="results/provenance.json",
        cohort="results/cohort.tsv",
        report="results/report.html",
    output:
        crate="results/ro-crate-metadata.json",
    log:
        "logs/write_crate.log",
    benchmark:
        "benchmarks/write_crate/all.tsv"
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code("write_crate"),
    script:
        "../scripts/write_crate.py"


rule write_patient_page:
    """One offline page of a case: projections, lesions slice by slice, measurements, clicks, what is to be checked."""
    input:
        ct="results/cases/{case}/ct.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
        lesions="results/cases/{case}/lesions.nii.gz",
        truth=truth_if_any,
        clicks="results/cases/{case}/clicks.json",
        table="results/cases/{case}/lesion_table.csv",
        study="results/cases/{case}/study.json",
        tracer="results/cases/{case}/tracer.json",
        prediction="results/cases/{case}/prediction.json",
        quality="results/cases/{case}/quality.json",
        record="results/cases/{case}/case.json",
    output:
        page="results/cases/{case}/patient.html",
    log:
        "logs/write_patient_page/{case}.log",
    benchmark:
        "benchmarks/write_patient_page/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        title=column("case"),
        threshold=config["predict"]["threshold"],
        template=TEMPLATES,
        code=code("write_patient_page"),
    script:
        "../scripts/write_patient_page.py"
