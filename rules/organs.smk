# Organ labels, for training only. Paper, section 2.2 "Additional Organs Supervision".

if config["organs"]["provider"] == "given":

    rule import_organs:
        """Bring a given organ map onto the PET's grid and into our organ numbers."""
        input:
            organs=column("organs"),
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
            code=code("import_organs"),
        script:
            "../scripts/import_organs.py"


if config["organs"]["provider"] == "totalsegmentator":

    rule find_organ_weights:
        """See that TotalSegmentator's weights are there, first of all."""
        output:
            models="results/organs/models.json",
        log:
            "logs/find_organ_weights.log",
        benchmark:
            "benchmarks/find_organ_weights/all.tsv"
        priority: 100
        localrule: True
        conda:
            "../envs/deep.yaml"
        params:
            weights=config["organs"]["weights"],
            settings=ORGAN_SETTINGS,
            code=code("find_organ_weights"),
        script:
            "../scripts/find_organ_weights.py"

    rule segment_organs:
        """Find the organs on the CTs of a bucket of cases with TotalSegmentator; maps that are there are kept."""
        input:
            ct=lambda wildcards: expand("results/cases/{case}/ct.nii.gz", case=organ_bucket(wildcards)),
            models="results/organs/models.json",
            sound=ancient("results/sound_studies.txt"),
            read=ancient("results/cohort.tsv"),
        output:
            bucket="results/organs/bucket_{bucket}.json",
        log:
            "logs/segment_organs/bucket_{bucket}.log",
        benchmark:
            "benchmarks/segment_organs/bucket_{bucket}.tsv"
        conda:
            "../envs/deep.yaml"
        threads: 8
        resources:
            mem_mb=32000,
            runtime=lambda wildcards: 30 + 15 * len(organ_bucket(wildcards)),
        params:
            folder="results/organs",
            cases=organ_bucket,
            sources=lambda wildcards: [STUDIES[case].ct for case in organ_bucket(wildcards)],
            settings=ORGAN_SETTINGS,
            weights=config["organs"]["weights"],
        script:
            "../scripts/segment_organs.py"

    rule keep_organs:
        """Take a case's map out of its bucket, and look at the uptake of the liver."""
        input:
            # a bucket that runs again for a new case redoes no other; other settings do, by way of models.json
            bucket=ancient(lambda wildcards: f"results/organs/bucket_{ORGAN_BUCKETS[wildcards.case]}.json"),
            models="results/organs/models.json",
            ct="results/cases/{case}/ct.nii.gz",
            suv="results/cases/{case}/suv.nii.gz",
            truth="results/cases/{case}/truth.nii.gz",
        output:
            organs="results/cases/{case}/organs.nii.gz",
            liver="results/cases/{case}/liver.json",
        log:
            "logs/keep_organs/{case}.log",
        benchmark:
            "benchmarks/keep_organs/{case}.tsv"
        conda:
            "../envs/core.yaml"
        resources:
            mem_mb=4000,
            runtime=20,
        params:
            folder="results/organs",
            settings=ORGAN_SETTINGS,
            erase_lesions=config["organs"]["erase_lesions"],
            name=column("case"),
            tracer=column("tracer"),
            thresholds=config["quality"],
            code=code("keep_organs"),
        script:
            "../scripts/keep_organs.py"

    rule rank_organ_findings:
        """Livers of an odd size or uptake, for a person to look at."""
        input:
            quality=expand("results/cases/{case}/liver.json", case=TRAIN),
        output:
            quality="results/organ_quality.tsv",
        log:
            "logs/rank_organ_findings.log",
        benchmark:
            "benchmarks/rank_organ_findings/all.tsv"
        localrule: True
        conda:
            "../envs/core.yaml"
        params:
            code=code("rank_organ_findings"),
        script:
            "../scripts/rank_organ_findings.py"
