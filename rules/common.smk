# What all the files here use: the checked config, the cohort, and lists of its cases.
import os
import sys
from difflib import get_close_matches

from clickpet.postprocess.options import PostprocessOptions
from clickpet.train.options import TrainingOptions, trained_by
from clickpet.workflow.buckets import bucket_count, bucket_of
from clickpet.clicks.replay import find_round_files, require_replay_folder
from clickpet.cohort import FILES, JOINT, TRACERS, read_cohort
from clickpet.config import ConfigError, read_config, resolve
from clickpet.errors import InputError
from clickpet.files import content_hash
from clickpet.ingest.bids_files import metadata_files
from clickpet.predict.inference import NOT_OF_INFERENCE
from clickpet.models.settings import trained_with
from clickpet.slugs import SLUG_PATTERN
from clickpet.nnunet.patch_size import check_patch_size
from clickpet.workflow.code_key import code_key
from clickpet.workflow.job_list import offer_job_list
from clickpet.workflow.slurm_queue import refuse_orphans
from clickpet.workflow.training_state import NOT_KNOWN, training_state


def warn(text):
    """A line for the user, once a run: each job reads the rules again."""
    if workflow.is_main_process:
        print(f"warning: {text}", file=sys.stderr)


def load_config(given):
    try:
        for file in workflow.configfiles if workflow.is_main_process else ():
            read_config(file)  # Snakemake has read it, but takes the last of two equal keys
        full = resolve(given)
        if workflow.is_main_process:
            train = full["train"]
            stages = train["topology"]["max_stages"]
            check_patch_size(train["patch_size"], max_stages=stages, spacing_mm=train["spacing_mm"])
        return full
    except ConfigError as error:
        sys.exit(str(error))
    except InputError as error:
        sys.exit(f"config: {error}")


def load_cohort(path):
    try:
        return read_cohort(path, tell=warn)
    except InputError as error:
        sys.exit(f"cohort: {error}")


def stop_if_orphans_run():
    """End before the first job if jobs of a Snakemake that was killed still run on the cluster."""
    try:
        refuse_orphans(os.getcwd(), needs_slurm=workflow.executor_plugin.name == "slurm")
    except InputError as error:
        sys.exit(str(error))


def code(script):
    """Hash of what a script computes with, so that a changed method re-runs it and a clone or a comment does not."""
    return code_key(f"{workflow.basedir}/scripts/{script}.py", library=f"{workflow.basedir}/clickpet")


def method(*names):
    """Hash of library modules, or of what they define, with all that these use."""
    return code_key(*names, library=f"{workflow.basedir}/clickpet")


def asks_for_gpu(rule):
    """True if a profile or the command line gives the jobs of a rule a GPU."""
    asked = workflow.get_rule(rule).resources.get("gpu")
    return getattr(asked, "value", asked) not in (None, 0, "0")


def study(wildcards):
    """The row of a case."""
    if wildcards.case not in STUDIES:
        near = get_close_matches(wildcards.case, STUDIES, n=1, cutoff=0)
        raise InputError(
            f"no case {wildcards.case!r} in the cohort; in paths cases go by their slug, such as {near[0]}"
        )
    return STUDIES[wildcards.case]


def column(name):
    """Input or params function: a column of the cohort table for a job's case."""
    return lambda wildcards: getattr(study(wildcards), name)


def of_case(function):
    """Input or params function: what `function` gives for a job's case."""
    return lambda wildcards: function(wildcards.case)


def slugs(*splits, tracer=None):
    """Cases of these splits (and of this tracer, or of those of the joint model), in the table's order."""
    return [study.slug for study in STUDIES.values() if study.split in splits and tracer in (None, JOINT, study.tracer)]


def train_cases(tracer=None):
    """Train cases (of a tracer) sorted by their slugs: another order of the table's rows trains nothing anew."""
    return sorted(slugs("train", tracer=tracer))


def training_options(wildcards):
    """What decides how a lesion model is trained; keyword arguments of clickpet.train.options.TrainingOptions."""
    options = dict(TRAINING_OPTIONS)
    options["iterations_per_epoch"] = iterations_per_epoch(wildcards.tracer)
    return {**options, "seed": config["seed"]}


def iterations_per_epoch(model):
    """Iterations an epoch of a lesion model; of the joint one those of all tracers together, unless it has its own."""
    iterations = config["train"]["iterations_per_epoch"]
    return iterations.get(model) or sum(iterations[tracer] for tracer in KNOWN_TRACERS)


def training_state_of(wildcards):
    """What a dry run says of a training: whether it will train, go on, or be taken over from an earlier run."""
    jobs = [job for job in workflow.dag.jobs if job.rule.name == "train_lesion_fold"]
    own = [job for job in jobs if (job.wildcards.tracer, job.wildcards.fold) == (wildcards.tracer, wildcards.fold)]
    if not own or any(workflow.dag.needrun(earlier) for earlier in workflow.dag.dependencies[own[0]]):
        return NOT_KNOWN
    return training_state(
        "results",
        wildcards.tracer,
        wildcards.fold,
        cases=train_cases(wildcards.tracer),
        options=TrainingOptions(**training_options(wildcards)),
        method=TRAINING_METHOD,
        pretrained=config["train"]["pretrained"] or None,
    )


def given_tracer(wildcards):
    """The table's tracer for new patients; scored cases are always routed by the tracer that is found."""
    return STUDIES[wildcards.case].tracer if STUDIES[wildcards.case].split == "predict" else ""


def labels_of(wildcards):
    """What names a case in the tables."""
    return {key: value for key, value in study(wildcards).as_dict().items() if key not in FILES}


def splits_if_train(wildcards):
    """Only train cases ask which fold held them out."""
    return "results/splits.json" if STUDIES[wildcards.case].split == "train" else []


def replay_files(wildcards):
    """The interactions of a case that are replayed; none where a reader is simulated, or nobody interacted."""
    return find_round_files(config["evaluate"]["replay"], wildcards.case) if wildcards.protocol == "replay" else []


def check_replay():
    """End with a line if interactions are to be replayed and there are none."""
    if "replay" in PROTOCOLS and SCORED:
        try:
            require_replay_folder(config["evaluate"]["replay"], SCORED)
        except InputError as error:
            sys.exit(f"config: {error}")


def calibration_if_any(wildcards):
    return "results/calibration.json" if config["predict"]["mirroring"] == "budget" else []


def truth_if_any(wildcards):
    return f"results/cases/{wildcards.case}/truth.nii.gz" if STUDIES[wildcards.case].label else []


def label_record_if_any(wildcards):
    return f"results/cases/{wildcards.case}/truth.json" if STUDIES[wildcards.case].label else []


def findings_if_new(wildcards):
    """New patients are looked at one by one, and a hard finding stops their prediction; others wait as a cohort."""
    new = STUDIES[wildcards.case].split == "predict"
    return f"results/cases/{wildcards.case}/quality.json" if new else []


def given_organs_if_any(wildcards):
    given = config["organs"]["provider"] == "given" and study(wildcards).split == "train"
    return f"results/cases/{wildcards.case}/organs.nii.gz" if given else []


def organs_if_any(wildcards):
    return f"results/cases/{wildcards.case}/organs.nii.gz" if config["organs"]["provider"] != "none" else []


def organs_under_lesions_if_any(wildcards):
    """The organs that lesions lie in; nothing where they were erased under lesions, or for cases that have no map."""
    mapped = STUDIES[wildcards.case].split == "train" and not config["organs"]["erase_lesions"]
    return organs_if_any(wildcards) if mapped else []


def organ_bucket(wildcards):
    """Train cases whose organs are found by one job."""
    return [case for case, bucket in ORGAN_BUCKETS.items() if bucket == wildcards.bucket]


if workflow.is_main_process:
    offer_job_list(workflow)
config = load_config(config)
STUDIES = {study.slug: study for study in load_cohort(config["cohort"])}
FOLDS = [str(fold) for fold in config["folds"]]
NUMBERED_FOLDS = [fold for fold in FOLDS if fold != "all"]
TRAIN, SCORED, CASES = train_cases(), slugs("train", "test"), list(STUDIES)
ORGAN_BUCKETS = {case: f"{bucket_of(case, bucket_count(len(TRAIN))):03d}" for case in TRAIN}
# what a kept organ map depends on besides its CT: only what decides its values, for a map costs minutes of a GPU
ORGAN_SETTINGS = {"fast": config["organs"]["fast"], "code": method("clickpet.organs.totalsegmentator.OrganSegmenter")}
# with TotalSegmentator the organs come after the quality control, and their findings in a table of their own
FINDINGS = ["results/quality.tsv"]
if config["organs"]["provider"] == "totalsegmentator" and TRAIN:
    FINDINGS.append("results/organ_quality.tsv")
TRAINING_OPTIONS = trained_by(config["train"])
# all code that decides what a training learns; how it is kept alive and recorded is not part of it
TRAINING_METHOD = method("clickpet.train.trainer.ClickPetTrainer", "clickpet.nnunet.network")
PROTOCOLS = config["evaluate"]["protocols"]
INTERACTIVE = config["report"]["interactive"] or "clicks" in PROTOCOLS
ROUND_PROTOCOLS = [protocol for protocol in ("rounds", "replay") if protocol in PROTOCOLS]
ROUNDS = list(range(config["evaluate"]["rounds"]))
ROUND_TABLES = [
    f"results/{protocol}{table}.tsv"
    for protocol in (ROUND_PROTOCOLS if SCORED else [])
    for table in ("", "_summary", "_safety", "_sizes", "_lesion_free")
]
check_replay()
CLICK_STEPS = config["evaluate"]["click_steps"]
MIP_OPTIONS = trained_with(config)["mip"]
PREDICT_OPTIONS = {key: value for key, value in config["predict"].items() if key not in NOT_OF_INFERENCE}
# maps that a prediction writes besides the mask, where they are asked for
PREDICTION_MAPS = {
    f"{kind}_map": f"results/cases/{{case}}/{kind}.nii.gz"
    for kind in ("disagreement", "probability")
    if config["predict"][f"save_{kind}"]
}
POSTPROCESS = PostprocessOptions.from_mapping(config["postprocess"])
# what post-processing needs of a prediction, and what it records, where its options are not the paper's
COMPONENT_PROBABILITY, STEP_PROBABILITIES, POSTPROCESS_RECORD, STEP_RECORDS = {}, {}, {}, {}
STEP_FOLDER = "results/cases/{{case}}/interactive/clicks_{clicks}"
if POSTPROCESS.needs_probability:
    COMPONENT_PROBABILITY["component_probability"] = "results/cases/{case}/component_probability.npy"
    STEP_PROBABILITIES["component_probabilities"] = expand(
        f"{STEP_FOLDER}/component_probability.npy", clicks=CLICK_STEPS
    )
if POSTPROCESS.needs_clicks:
    POSTPROCESS_RECORD["record"] = "results/cases/{case}/postprocess.json"
    STEP_RECORDS["records"] = expand(f"{STEP_FOLDER}/postprocess.json", clicks=CLICK_STEPS)
MAPS = [name.removesuffix("_map") for name in (*PREDICTION_MAPS, *COMPONENT_PROBABILITY)]
CLICKS_FOR_POSTPROCESS = {"clicks": "results/cases/{case}/clicks.json"} if POSTPROCESS.needs_clicks else {}
BLOCKS = [".b2nd", "_seg.b2nd"]
PREPROCESSED = [*BLOCKS, ".pkl"]


wildcard_constraints:
    case=SLUG_PATTERN,
    tracer="fdg|psma|joint",
    fold="[0-9]+|all",
    model="fdg|psma|joint|tracer",
    networks="fold_[0-9]+|ensemble",
    clicks="[0-9]+",
    protocol="rounds|replay",
    bucket="[0-9]+",
    split="train|test|predict",
    origin="trained|imported",
