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
from clickpet.ingest.splits import given_splits, read_splits
from clickpet.predict.inference import NOT_OF_INFERENCE
from clickpet.models.settings import CHECKPOINTS, read_settings, trained_with
from clickpet.slugs import SLUG_PATTERN
from clickpet.nnunet.patch_size import check_patch_size
from clickpet.workflow.code_key import code_key
from clickpet.workflow.job_list import offer_job_list
from clickpet.workflow.slurm_queue import refuse_orphans
from clickpet.workflow.time_limits import prediction_min
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


def load_models(config, studies):
    """Settings of the models in predict.models, fit for every row with split predict; None without them."""
    if not config["predict"]["models"]:
        return None
    try:
        models = read_settings(config["predict"]["models"])
        for study in studies.values():
            if study.split == "predict":
                models.check_study(study.tracer)
    except InputError as error:
        sys.exit(f"config: predict.models: {error}")
    if models.heatmap is None or models.mip is None:
        warn(f"{models.folder} has no settings.json: taking the config's heatmap and MIPs")
    return models


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


def is_imported(case):
    """True for new patients if the config names models for them."""
    return STUDIES[case].split == "predict" and IMPORTED is not None


def models_of(wildcards):
    """Folder of the models that segment a case."""
    return config["predict"]["models"] if is_imported(wildcards.case) else "results/models"


def heatmap_of(wildcards):
    """Heatmaps as the models of a case know them from their training."""
    return is_imported(wildcards.case) and IMPORTED.heatmap or config["heatmap"]


def mip_of(wildcards):
    """MIPs as the discriminator of a case knows them from its training."""
    return is_imported(wildcards.case) and IMPORTED.mip or MIP_OPTIONS


def networks(case, model):
    """What a case's jobs wait for of a model (fdg, psma, tracer): short files about its networks, or all of its files.

    All of the files, as inputs of every job, make the graph of a thousand cases an eighth slower. A train case waits for
    all folds that it might be held out by, for which one is known only when the splits are drawn. Where they are, the
    other folds are `ancient`: networks trained anew re-run only what is predicted with them. If the splits are drawn
    anew in the same run, splits.json itself re-runs the case.
    """
    if is_imported(case):
        return files_of_model(config["predict"]["models"], model, folds_for(case, model))
    if STUDIES[case].split != "train":
        return [f"results/models/{model}/ensemble.json"]
    own = DRAWN_FOLDS.get(case)
    files = {fold: f"results/models/{model}/fold_{fold}.json" for fold in NUMBERED_FOLDS}
    return [file if own is None or fold == str(own) else ancient(file) for fold, file in files.items()]


def read_drawn_folds():
    """{case: fold} as it was drawn, empty before the first draw.

    Ends with a line if the folds that were drawn, or the user's own, are broken: before any output is deleted.
    """
    drawn = {}
    if os.path.exists("results/splits.json"):
        try:
            drawn = read_splits("results/splits.json")["cases"]
        except InputError as error:
            sys.exit(f"splits: {error}")
    if config["splits"] and TRAIN:
        try:
            given_splits(config["splits"], [STUDIES[case].as_dict() for case in TRAIN], n_folds=len(NUMBERED_FOLDS))
        except InputError as error:
            sys.exit(f"config: splits: {error}")
    return drawn


def files_of_model(models, model, folds):
    """A model's checkpoints, and what is needed to build its networks."""
    plans = [] if model == "tracer" else [f"{models}/{model}/{name}.json" for name in ("plans", "dataset")]
    return plans + [f"{models}/{model}/fold_{fold}/{CHECKPOINTS[model]}" for fold in folds]


def lesion_models(wildcards):
    """Networks that may be needed for a case; its tracer is known only when the job runs."""
    models = dict.fromkeys(lesion_model(wildcards.case, tracer) for tracer in tracers_for(wildcards.case))
    return [file for model in models for file in networks(wildcards.case, model)]


def tracer_models(wildcards):
    """Networks of the discriminator; none where the tracer is not asked for."""
    if len(tracers_for(wildcards.case)) == 1 or given_tracer(wildcards):
        return []
    return networks(wildcards.case, "tracer")


def tracers_for(case):
    """Tracers that the models of a case know."""
    return IMPORTED.tracers if is_imported(case) else KNOWN_TRACERS


def lesion_model(case, tracer):
    """The lesion model that segments a case if it is of `tracer`."""
    if is_imported(case):
        return IMPORTED.lesion_model(tracer)
    return JOINT if TRAINED == [JOINT] else tracer


def lesion_model_folders(wildcards):
    """Folders of the lesion models that may segment a case, by the tracer that is found."""
    case = wildcards.case
    return {tracer: f"{models_of(wildcards)}/{lesion_model(case, tracer)}" for tracer in tracers_for(case)}


def folds_for(case, model):
    """Folds of a model (fdg, psma, joint, tracer) that may see a case: never a train case one that was trained on all."""
    if is_imported(case):
        return IMPORTED.folds.get(model, [])
    return NUMBERED_FOLDS if STUDIES[case].split == "train" else FOLDS


def lesion_folds_for(wildcards):
    case = wildcards.case
    return {tracer: folds_for(case, lesion_model(case, tracer)) for tracer in tracers_for(case)}


def minutes_of_prediction(heatmaps):
    """Minutes that the prediction of a case may take at so many heatmaps, as a function of its wildcards."""

    def minutes(wildcards, attempt):
        members = [len(folds) for folds in lesion_folds_for(wildcards).values()]
        if STUDIES[wildcards.case].split == "train":
            members = [1]
        return attempt * prediction_min(config["predict"], members=max(members, default=1), heatmaps=heatmaps)

    return minutes


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
CLICKS_FOR_POSTPROCESS = {"clicks": "results/cases/{case}/clicks.json"} if POSTPROCESS.needs_clicks else {}
BLOCKS = [".b2nd", "_seg.b2nd"]
PREPROCESSED = [*BLOCKS, ".pkl"]
KNOWN_TRACERS = [tracer for tracer in TRACERS if train_cases(tracer)]
TRAINED = [JOINT] if KNOWN_TRACERS and config["train"]["models"] == "joint" else KNOWN_TRACERS  # the lesion models
IMPORTED = load_models(config, STUDIES)
DRAWN_FOLDS = read_drawn_folds()
DISCRIMINATOR = ["tracer"] if len(KNOWN_TRACERS) > 1 else []
DISCRIMINATOR_FOLDS = FOLDS if DISCRIMINATOR else []
# short files about the networks that cases wait for: one a fold for train cases, one of all folds for others
NETWORK_LISTS = {f"fold_{fold}": [fold] for fold in NUMBERED_FOLDS} if TRAIN else {}
if TRAINED and any(STUDIES[case].split != "train" and not is_imported(case) for case in CASES):
    NETWORK_LISTS["ensemble"] = FOLDS
# the models that new patients get, {lesion model: folds}
NEW_MODELS = {m: IMPORTED.folds[m] for m in IMPORTED.lesion_models} if IMPORTED else {m: FOLDS for m in TRAINED}


wildcard_constraints:
    case=SLUG_PATTERN,
    tracer="fdg|psma|joint",
    fold="[0-9]+|all",
    model="fdg|psma|joint|tracer",
    networks="fold_[0-9]+|ensemble",
    clicks="[0-9]+",
    protocol="rounds|replay",
    bucket="[0-9]+",
