# A small deterministic PET/CT cohort, only for the demo and the tests.

import csv

with open(f"{workflow.basedir}/config/phantom_cases.tsv", newline="") as table:
    PHANTOM_FILES = [
        row[kind]
        for row in csv.DictReader(table, delimiter="\t")
        for kind in ("ct", "pet", "label", "clicks", "organs")
        if row[kind]
    ]


localrules:
    make_phantom,


rule make_phantom:
    """Make every file that config/phantom_cases.tsv names."""
    output:
        files=PHANTOM_FILES,
    log:
        "logs/make_phantom.log",
    benchmark:
        "benchmarks/make_phantom.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        seed=config["phantom"]["seed"],
        code=code("make_phantom"),
    script:
        "../scripts/make_phantom.py"
