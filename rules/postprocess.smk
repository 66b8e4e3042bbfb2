# Raw network mask -> final lesion mask. Paper, section 2.2, "Post-Processing".


rule drop_faint_specks:
    """Erase lesion components that are both tiny and faint."""
    input:
        mask="results/cases/{case}/lesions_raw.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
    output:
        mask="results/cases/{case}/lesions.nii.gz",
    log:
        "logs/drop_faint_specks/{case}.log",
    benchmark:
        "benchmarks/drop_faint_specks/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        **config["postprocess"],
        code=code("drop_faint_specks"),
    script:
        "../scripts/drop_faint_specks.py"
