# Organ labels, for training only. Paper, section 2.2 "Additional Organs Supervision".

if config["organs"]["provider"] == "given":

    rule import_organs:
        """Bring a given organ map onto the PET's grid and into our organ numbers."""
        input:
            organs=lambda wildcards: study(wildcards).organs,
            suv="results/cases/{case}/suv.nii.gz",
            truth="results/cases/{case}/truth.nii.gz",
        output:
            organs="results/cases/{case}/organs.nii.gz",
        log:
            "logs/import_organs/{case}.log",
        benchmark:
            "benchmarks/import_organs/{case}.tsv"
        conda:
            "../envs/core.yaml"
        resources:
            mem_mb=4000,
            runtime=20,
        params:
            scheme=config["organs"]["scheme"],
            erase_lesions=config["organs"]["erase_lesions"],
            code=code("organ_import", "organs", "images"),
        script:
            "../scripts/import_organs.py"


if config["organs"]["provider"] == "totalsegmentator":

    rule segment_organs:
        """Find the organs on the CT with TotalSegmentator."""
        input:
            ct="results/cases/{case}/ct.nii.gz",
            truth="results/cases/{case}/truth.nii.gz",
            sound=ancient("results/cohort.tsv"),
        output:
            organs="results/cases/{case}/organs.nii.gz",
        log:
            "logs/segment_organs/{case}.log",
        benchmark:
            "benchmarks/segment_organs/{case}.tsv"
        conda:
            "../envs/deep.yaml"
        threads: 8
        resources:
            mem_mb=32000,
            runtime=60,
        params:
            fast=config["organs"]["fast"],
            weights=config["organs"]["weights"],
            erase_lesions=config["organs"]["erase_lesions"],
            code=code("totalseg", "organs", "model_folder", "images"),
        script:
            "../scripts/segment_organs.py"
