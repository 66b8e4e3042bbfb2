# Which networks may see a case, what its jobs wait for, and which cases are predicted by one job.
from clickpet.cohort import JOINT, TRACERS
from clickpet.errors import InputError
from clickpet.ingest.splits import given_splits, read_splits
from clickpet.models.settings import CHECKPOINTS, read_settings
from clickpet.workflow.buckets import bucket_count, bucket_of, members_of
from clickpet.workflow.time_limits import prediction_min


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


def is_imported(case):
    """True for new patients if the config names models for them."""
    return STUDIES[case].split == "predict" and IMPORTED is not None


def models_of(case):
    """Folder of the models that segment a case."""
    return config["predict"]["models"] if is_imported(case) else "results/models"


def heatmap_of(wildcards):
    """Heatmaps as the models of a case know them from their training."""
    return is_imported(wildcards.case) and IMPORTED.heatmap or config["heatmap"]


def mip_of(wildcards):
    """MIPs as the discriminator of a case knows them from its training."""
    return is_imported(wildcards.case) and IMPORTED.mip or MIP_OPTIONS


def networks(cases, model):
    """What a job waits for of a model (fdg, psma, tracer): short files about its networks, or all of its files.

    cases : those of the job, of one split. All of the files, as inputs of every job, make the graph of a thousand cases
    an eighth slower. A train case waits for all folds that it might be held out by, for which one is known only when
    the splits are drawn. Where they are, the other folds are `ancient`: networks trained anew re-run only what is
    predicted with them. If the splits are drawn anew in the same run, splits.json itself re-runs the case.
    """
    if is_imported(cases[0]):
        return files_of_model(config["predict"]["models"], model, folds_for(cases[0], model))
    if STUDIES[cases[0]].split != "train":
        return [f"results/models/{model}/ensemble.json"]
    own = {DRAWN_FOLDS.get(case) for case in cases}
    files = {fold: f"results/models/{model}/fold_{fold}.json" for fold in NUMBERED_FOLDS}
    return [file if None in own or int(fold) in own else ancient(file) for fold, file in files.items()]


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
    return lesion_networks([wildcards.case])


def lesion_networks(cases):
    """Networks that may be needed for cases of one split."""
    models = dict.fromkeys(lesion_model(cases[0], tracer) for tracer in tracers_for(cases[0]))
    return [file for model in models for file in networks(cases, model)]


def tracer_models(wildcards):
    """Networks of the discriminator; none where the tracer is not asked for."""
    if len(tracers_for(wildcards.case)) == 1 or given_tracer(wildcards):
        return []
    return networks([wildcards.case], "tracer")


def tracers_for(case):
    """Tracers that the models of a case know."""
    return IMPORTED.tracers if is_imported(case) else KNOWN_TRACERS


def lesion_model(case, tracer):
    """The lesion model that segments a case if it is of `tracer`."""
    if is_imported(case):
        return IMPORTED.lesion_model(tracer)
    return JOINT if TRAINED == [JOINT] else tracer


def lesion_model_folders(case):
    """Folders of the lesion models that may segment a case, by the tracer that is found."""
    return {tracer: f"{models_of(case)}/{lesion_model(case, tracer)}" for tracer in tracers_for(case)}


def folds_for(case, model):
    """Folds of a model (fdg, psma, joint, tracer) that may see a case: never a train case one that was trained on all."""
    if is_imported(case):
        return IMPORTED.folds.get(model, [])
    return NUMBERED_FOLDS if STUDIES[case].split == "train" else FOLDS


def lesion_folds(case):
    """Folds of these models that may see the case."""
    return {tracer: folds_for(case, lesion_model(case, tracer)) for tracer in tracers_for(case)}


def minutes_of_prediction(heatmaps):
    """Minutes that the prediction of a case may take at so many heatmaps, as a function of its wildcards."""

    def minutes(wildcards, attempt):
        return attempt * prediction_min(config["predict"], members=most_members(wildcards.case), heatmaps=heatmaps)

    return minutes


def most_members(case):
    """Networks that predict a case, at most."""
    if STUDIES[case].split == "train":
        return 1
    return max((len(folds) for folds in lesion_folds(case).values()), default=1)


def options_file(case):
    """The options that the predictions of cases have in common, by the origin of their models."""
    return f"results/predictions/options_{'imported' if is_imported(case) else 'trained'}.json"


def networks_of(wildcards):
    """Which networks there are, by the origin of the models; folds of trained ones stand in the files about them."""
    if wildcards.origin == "imported":
        return {"folder": config["predict"]["models"], "folds": IMPORTED.folds}
    return {"folder": "results/models", "models": TRAINED}


def imported_files():
    """All files of the models in predict.models."""
    folds = IMPORTED.folds.items()
    return [file for model, names in folds for file in files_of_model(config["predict"]["models"], model, names)]


def bucket_members(wildcards):
    """Cases that are predicted by one job."""
    return CASES_OF_BUCKET[f"{wildcards.split}_{wildcards.bucket}"]


def prediction_bucket(wildcards):
    """What the job of a bucket must know of its cases, besides their files."""
    return [case_of_bucket(case) for case in bucket_members(wildcards)]


def case_of_bucket(case):
    """Arguments of `clickpet.predict.bucket.bucket_case` that are no files."""
    split, folds, models = STUDIES[case].split, lesion_folds(case), lesion_model_folders(case)
    return {"slug": case, "split": split, "folds": folds, "models": models}


def files_in_bucket(name):
    """Input function: a file of every case of a bucket."""
    return lambda wildcards: expand(f"results/cases/{{case}}/{name}", case=bucket_members(wildcards))


def bucket_findings_if_new(wildcards):
    return files_in_bucket("quality.json")(wildcards) if wildcards.split == "predict" else []


def splits_if_train_bucket(wildcards):
    return "results/splits.json" if wildcards.split == "train" else []


def bucket_models(wildcards):
    return lesion_networks(bucket_members(wildcards))


def minutes_of_bucket(wildcards, attempt):
    """Minutes that the predictions of a bucket may take; what an attempt has done is not done again."""
    cases = bucket_members(wildcards)
    members = max(map(most_members, cases))
    return attempt * prediction_min(config["predict"], members=members, heatmaps=len(cases))


def prediction_buckets():
    """{case: bucket} of all cases, buckets by split: their networks differ, and new patients wait for no others."""
    numbers = {split: bucket_count(len(slugs(split))) for split in ("train", "test", "predict")}
    return {
        case: f"{study.split}_{bucket_of(case, numbers[study.split]):03d}" for case, study in sorted(STUDIES.items())
    }


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
PREDICTION_BUCKETS = prediction_buckets()
CASES_OF_BUCKET = members_of(PREDICTION_BUCKETS)
