# What all the files here use: the checked config, the cohort, and lists of its cases.
import os
import sys
from difflib import get_close_matches

from clickpet.buckets import bucket_count, bucket_of
from clickpet.cohort import FILES, TRACERS, read_cohort
from clickpet.config import ConfigError, resolve
from clickpet.errors import InputError
from clickpet.files import content_hash
from clickpet.slurm_queue import refuse_orphans


def load_config(given):
    try:
        return resolve(given)
    except ConfigError as error:
        sys.exit(str(error))


def load_cohort(path):
    try:
        return read_cohort(path)
    except InputError as error:
        sys.exit(f"cohort: {error}")


def stop_if_orphans_run():
    """End before the first job if jobs of a Snakemake that was killed still run on the cluster."""
    try:
        refuse_orphans(os.getcwd(), needs_slurm=workflow.executor_plugin.name == "slurm")
    except InputError as error:
        sys.exit(str(error))


def code(*modules):
    """Hash of library modules that a job computes with; a changed method re-runs it, a fresh clone does not."""
    return content_hash(*(f"{workflow.basedir}/clickpet/{module}.py" for module in modules))


def study(wildcards):
    """The row of a case."""
    if wildcards.case not in STUDIES:
        near = get_close_matches(wildcards.case, STUDIES, n=1, cutoff=0)
        raise InputError(
            f"no case {wildcards.case!r} in the cohort; in paths cases go by their slug, such as {near[0]}"
        )
    return STUDIES[wildcards.case]


def slugs(*splits, tracer=None):
    """Cases of these splits (and of this tracer), in the table's order."""
    return [
        study.slug for study in STUDIES.values() if study.split in splits and (tracer is None or study.tracer == tracer)
    ]


def models_of(case):
    """Folder of the models that segment a case: imported ones for new patients if the config names them."""
    if STUDIES[case].split == "predict" and config["predict"]["models"]:
        return config["predict"]["models"]
    return "results/models"


def lesion_models(wildcards):
    """Checkpoints that may be needed for a case; its tracer is known only when the job runs."""
    return expand(
        "{models}/{tracer}/fold_{fold}/checkpoint_final.pth",
        models=models_of(wildcards.case),
        tracer=tracers_for(wildcards.case),
        fold=folds_for(wildcards.case),
    )


def plans_of_models(wildcards):
    return expand(
        "{models}/{tracer}/{file}.json",
        models=models_of(wildcards.case),
        tracer=tracers_for(wildcards.case),
        file=["plans", "dataset"],
    )


def tracer_models(wildcards):
    """Checkpoints of the discriminator; none where the tracer is not asked for."""
    if len(tracers_for(wildcards.case)) == 1 or given_tracer(wildcards):
        return []
    return expand(
        "{models}/tracer/fold_{fold}/checkpoint.pth",
        models=models_of(wildcards.case),
        fold=folds_for(wildcards.case),
    )


def tracers_for(case):
    """Tracers that the models of a case know."""
    return MODEL_TRACERS if models_of(case) != "results/models" else TRAINED


def folds_for(case):
    """A train case is never shown to a model that was trained on all."""
    return NUMBERED_FOLDS if STUDIES[case].split == "train" else FOLDS


def given_tracer(wildcards):
    """The table's tracer for new patients; scored cases are always routed by the tracer that is found."""
    return STUDIES[wildcards.case].tracer if STUDIES[wildcards.case].split == "predict" else ""


def labels_of(case):
    """What names a case in the tables."""
    return {key: value for key, value in STUDIES[case].as_dict().items() if key not in FILES}


def splits_if_train(wildcards):
    """Only train cases ask which fold held them out."""
    return "results/splits.json" if STUDIES[wildcards.case].split == "train" else []


def calibration_if_any(wildcards):
    return "results/calibration.json" if config["predict"]["mirroring"] == "budget" else []


def truth_if_any(wildcards):
    return f"results/cases/{wildcards.case}/truth.nii.gz" if STUDIES[wildcards.case].label else []


def given_organs_if_any(wildcards):
    given = config["organs"]["provider"] == "given" and study(wildcards).split == "train"
    return f"results/cases/{wildcards.case}/organs.nii.gz" if given else []


def organs_if_any(wildcards):
    return f"results/cases/{wildcards.case}/organs.nii.gz" if config["organs"]["provider"] != "none" else []


def organ_bucket(wildcards):
    """Train cases whose organs are found by one job."""
    return [case for case, bucket in ORGAN_BUCKETS.items() if bucket == wildcards.bucket]


config = load_config(config)
STUDIES = {study.slug: study for study in load_cohort(config["cohort"])}
FOLDS = [str(fold) for fold in config["folds"]]
NUMBERED_FOLDS = [fold for fold in FOLDS if fold != "all"]
TRAIN, SCORED, CASES = slugs("train"), slugs("train", "test"), list(STUDIES)
DICOM_CODE = ["suv", "suv_header", "dicom_series", "dicom_stack", "dicom_values", "dicom_times"]
PREDICT_CODE = [
    "inference",
    "ensemble",
    "sliding_window",
    "network_grid",
    "body",
    "mirroring",
    "model_folder",
    "network",
    "resampling",
    "content_box",
    "planning",
]
ORGAN_BUCKETS = {case: f"{bucket_of(case, bucket_count(len(TRAIN))):03d}" for case in TRAIN}
# what a kept organ map depends on besides its CT: only what decides its values, for a map costs minutes of a GPU
ORGAN_SETTINGS = {"fast": config["organs"]["fast"], "code": code("totalseg", "organs")}
# with TotalSegmentator the organs come after the quality control, and their findings in a table of their own
FINDINGS = ["results/quality.tsv"]
if config["organs"]["provider"] == "totalsegmentator" and TRAIN:
    FINDINGS.append("results/organ_quality.tsv")
INTERACTIVE = config["report"]["interactive"]
CLICK_STEPS = config["evaluate"]["click_steps"]
PREDICT_OPTIONS = {key: value for key, value in config["predict"].items() if key != "models"}
BLOCKS = [".b2nd", "_seg.b2nd"]
PREPROCESSED = [*BLOCKS, ".pkl"]
TRAINED = [tracer for tracer in TRACERS if slugs("train", tracer=tracer)]
# imported models may know both tracers or one: what lies in their folder is what there is
IMPORTED = config["predict"]["models"]
MODEL_TRACERS = [t for t in TRACERS if os.path.exists(f"{IMPORTED}/{t}/plans.json")] if IMPORTED else TRAINED


wildcard_constraints:
    case="[A-Za-z0-9_.-]+",
    tracer="fdg|psma",
    fold="[0-9]+|all",
    clicks="[0-9]+",
    bucket="[0-9]+",
