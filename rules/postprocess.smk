# Raw network mask -> final lesion mask. Paper, section 2.2, "Post-Processing".


rule post_process_case:
    """Erase lesion components that are both tiny and faint; what else the options ask for, such as honoured clicks."""
    input:
        **CLICKS_FOR_POSTPROCESS,
        **COMPONENT_PROBABILITY,
        mask="results/cases/{case}/lesions_raw.nii.gz",
        suv="results/cases/{case}/suv.nii.gz",
    output:
        **POSTPROCESS_RECORD,
        mask="results/cases/{case}/lesions.nii.gz",
    log:
        "logs/post_process_case/{case}.log",
    benchmark:
        "benchmarks/post_process_case/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        postprocess=config["postprocess"],
        code=code("post_process_case"),
    script:
        "../scripts/post_process_case.py"
