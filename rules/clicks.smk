# Clicks and what the network sees of them. Paper, sections 2.1 "Clicks" and 2.2 "Heatmaps".


rule place_clicks:
    """Read a study's clicks, or simulate them from its truth by the official protocol."""
    input:
        clicks=lambda wildcards: (study(wildcards).clicks if config["clicks"]["simulate"] != "always" else "") or [],
        suv="results/cases/{case}/suv.nii.gz",
        truth=truth_if_any,
    output:
        clicks="results/cases/{case}/clicks.json",
    log:
        "logs/place_clicks/{case}.log",
    benchmark:
        "benchmarks/place_clicks/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        **config["clicks"],
        code=code("place_clicks"),
    script:
        "../scripts/place_clicks.py"


rule draw_heatmap:
    """Tumour clicks as positive, background clicks as negative Gaussians."""
    input:
        clicks="results/cases/{case}/clicks.json",
        suv="results/cases/{case}/suv.nii.gz",
    output:
        heatmap="results/cases/{case}/heatmap.nii.gz",
    log:
        "logs/draw_heatmap/{case}.log",
    benchmark:
        "benchmarks/draw_heatmap/{case}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        options=heatmap_of,
        code=code("draw_heatmap"),
    script:
        "../scripts/draw_heatmap.py"
