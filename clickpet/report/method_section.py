"""Report section on the method: what was run, in words.

What was run is told by the records of the run; the configuration gives only the values that these follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickpet.cohort import JOINT
from clickpet.evaluate.run_results import RunResults
from clickpet.evaluate.training_curves import TrainingCurve
from clickpet.report.page import Definitions, Section, Text
from clickpet.report.style import tracer_name

PAPER = "AutoPET IV: Semi-automatic PET/CT across tracers"
#: Clicks shown in training, by config value.
_SHOWN = {
    "all": "all clicks",
    "random": "a random number of clicks",
    "errors": "a random number of clicks and corrections of the network's own errors",
}
#: How many axes, in words.
_AXES = ("none", "one axis", "two axes", "three axes")


def methods_section(run: RunResults) -> Section:
    """What was run, a paragraph a stage; a stage that was not run has none."""
    config = run.config
    paragraphs = [
        ("Clicks", _clicks(run)),
        ("Heatmaps", _heatmaps(config["heatmap"])),
        ("Organs", _organs(run)),
        ("Tracer discriminator", _tracer(run)),
        ("Lesion models", _training(run)),
        ("Inference", _inference(run)),
        ("Post-processing", _postprocessing(config["postprocess"])),
        ("Evaluation", _evaluation(run)),
    ]
    return Section(
        "methods",
        "What was run",
        [
            Text(
                f"The stages follow “{PAPER}”, section 2. Values in this section are those of this run; the whole "
                "configuration is in the section on provenance."
            ),
            Definitions([(stage, text) for stage, text in paragraphs if text]),
        ],
    )


@dataclass(frozen=True)
class ClickSources:
    """For how many studies clicks were given, simulated from the truth, or neither."""

    given: int
    simulated: int
    none: int


def click_sources(run: RunResults) -> ClickSources:
    """Where the clicks of the studies came from."""
    cohort, simulate = run.cohort, run.config["clicks"]["simulate"]
    has_file = cohort["clicks"].notna() if "clicks" in cohort else cohort["split"].isna()
    has_truth = cohort["split"] != "predict"
    simulated = {"always": has_truth, "missing": has_truth & ~has_file, "never": has_truth & False}[simulate]
    given = has_file & ~simulated
    return ClickSources(int(given.sum()), int(simulated.sum()), int((~given & ~simulated).sum()))


def _clicks(run: RunResults) -> str:
    clicks, source = run.config["clicks"], click_sources(run)
    parts = []
    if source.given:
        parts.append(f"Tumour and background clicks of {_studies(source.given)} were taken from click files.")
    if source.simulated:
        offset = clicks["offset_vox"]
        parts.append(
            f"Clicks of {_studies(source.simulated)} were simulated from the true lesions and the PET as in autoPET "
            f"IV: up to {clicks['budget']} of each kind (seed {clicks['seed']}), tumour clicks at the innermost voxel "
            f"of up to {clicks['budget']} lesions and then on their borders, background clicks on the hottest uptake "
            "outside lesions" + (f", moved by up to {offset} voxels per axis." if offset else ".")
        )
    if source.none:
        parts.append(f"{_studies(source.none).capitalize()} had no clicks.")
    return " ".join(parts)


def _heatmaps(heatmap: Mapping) -> str:
    if heatmap["encoding"] == "distance":
        return (
            f"One channel: 1 - d / {heatmap['distance_mm']:g} mm for the distance d to the nearest click, at least 0; "
            "negative where that is a background click."
        )
    unit = {"voxel": "voxels", "mm": "mm"}[heatmap["unit"]]
    peak = "each with a peak of 1" if heatmap["peak"] == "unit" else "each with a sum of 1"
    text = (
        f"One channel: tumour clicks as Gaussians of sigma = {_sigma(heatmap['sigma_tumor'])} {unit} ({peak}), zero "
        f"where SUV is below the smaller of {heatmap['suv_gate']:g} g/ml and the SUV at the click, clipped to [0, 1]; "
        f"minus background clicks as Gaussians of sigma = {_sigma(heatmap['sigma_background'])} {unit}, zero where the "
        f"tumour map is positive{', but for the clicked voxels' if heatmap['keep_clicked'] else ''}."
    )
    if heatmap["compat"] == "released":
        text += " Signs are those of the released code (compat: released), to fit weights trained with it."
    return text


def _sigma(sigma: float | Sequence[float]) -> str:
    """A sigma, or three of them: "3", "3 x 3 x 2"."""
    return " x ".join(f"{one:g}" for one in (sigma if isinstance(sigma, Sequence) else [sigma]))


def _organs(run: RunResults) -> str:
    if not lesion_curves(run):
        return ""
    organs, train = run.config["organs"], run.config["train"]
    if organs["provider"] == "none":
        return "None: the lesion models were trained without a second head."
    source = {
        "given": "Organ maps were given with the cohort",
        "totalsegmentator": "Organ maps are TotalSegmentator's" + (" (3 mm models)" if organs["fast"] else ""),
    }[organs["provider"]]
    erased = "erased from" if organs["erase_lesions"] else "kept in"
    return (
        f"{source}; a second head learned them during training (loss weight {train['organ_loss_weight']:g}) and was "
        f"off at inference. Organs under lesions were {erased} the map."
    )


def lesion_curves(run: RunResults) -> dict[str, Sequence[TrainingCurve]]:
    """Trainings of this run's lesion models, by tracer."""
    return {model: curves for model, curves in run.training.items() if model != "tracer" and curves}


def discriminator_curves(run: RunResults) -> list[TrainingCurve]:
    """Trainings of this run's discriminator that had something to tell apart."""
    return [curve for curve in run.training.get("tracer", []) if len(curve.epochs) and curve.constant is None]


def stopped_early(run: RunResults) -> list[TrainingCurve]:
    """Trainings of the discriminator that ended before their last epoch."""
    return [curve for curve in discriminator_curves(run) if len(curve.epochs) < run.config["tracer"]["epochs"]]


def _tracer(run: RunResults) -> str:
    curves, tracer = discriminator_curves(run), run.config["tracer"]
    if not curves:
        if not lesion_curves(run):
            return ""
        return "None was trained: all train studies have one tracer."
    early = stopped_early(run)
    epochs = _range([len(curve.epochs) for curve in early])
    if early:
        stop = f"{len(early)} of {len(curves)} trainings stopped early, after {epochs} epochs"
    elif any(curve.stopping_cases for curve in curves):
        stop = "none stopped early"
    else:
        stop = "no study was set aside to stop early"
    parts = [
        f"A small convolutional network looks at the coronal maximum intensity projection of the PET ({tracer['size']} "
        f"x {tracer['size']} pixels of {tracer['spacing_mm']:g} mm). It was trained once per fold, {len(curves)} "
        f"times, for at most {tracer['epochs']} epochs (learning rate {tracer['learning_rate']:g}); {stop}."
    ]
    asked = set(run.accuracy.get("folds", {}))
    if asked - {"ensemble"}:
        parts.append("Train studies were told by the fold that did not see their patient.")
    if "ensemble" in asked:
        parts.append("Test studies were told by the majority of all folds.")
    return " ".join(parts)


def _training(run: RunResults) -> str:
    trained = lesion_curves(run)
    if not trained:
        return "No lesion model was trained in this run; the studies were segmented by models from elsewhere."
    curves = [curve for of_model in trained.values() for curve in of_model]
    train = {**run.config["train"], **curves[0].options}
    folds = list(dict.fromkeys(curve.fold for curve in curves))
    epochs = _range([len(curve.epochs) for curve in curves])
    steps = {model: _iterations(run, model) for model in trained}
    if list(trained) == [JOINT]:
        each, iterations = "for both tracers per fold", str(steps[JOINT])
    else:
        each = f"per tracer ({' and '.join(tracer_name(model) for model in trained)}) and fold"
        iterations = " and ".join(f"{count} ({tracer_name(model)})" for model, count in steps.items())
    patch = " x ".join(str(length) for length in train["patch_size"])
    seen = "(if it saw autoPET data, cross-validated scores are not out-of-fold)"
    checkpoint = any(curve.pretrained for curve in curves) or train["pretrained"]
    start = f"from a pretrained CT/PET checkpoint {seen}" if checkpoint else "from random weights"
    return (
        f"nnU-Net residual-encoder U-Nets, one {each} ({', '.join(folds)}), {start}: {epochs} epochs of {iterations} "
        f"iterations, patch {patch} voxels, batch {train['batch_size']}, learning rate {train['learning_rate']:g}, "
        f"{_SHOWN[train['training_clicks']]} shown in training. Folds are split by patient."
    )


def _iterations(run: RunResults, model: str) -> int | None:
    """Iterations of an epoch, as its trainings recorded them."""
    recorded = [curve.options["iterations_per_epoch"] for curve in run.training[model] if curve.options]
    return recorded[0] if recorded else run.config["train"]["iterations_per_epoch"].get(model)


def _inference(run: RunResults) -> str:
    records, predict = run.predictions, run.config["predict"]
    if not records:
        return ""
    if predict["mirroring"] == "voxels":
        million = min(predict["voxel_limits"]) >= 1e5
        three, two, one = (f"{limit / 1e6:g}" if million else f"{limit:g}" for limit in predict["voxel_limits"])
        unit = "million voxels" if million else "voxels"
        depth = f"mirroring over three axes below {three} {unit}, two below {two}, one below {one}, else none"
    else:
        depth = f"as many mirroring axes as fit {predict['time_limit_s']:g} s by this machine's calibration"
    counts = Counter(len(record["mirror_axes"]) for record in records.values() if "mirror_axes" in record)
    used = ", ".join(f"{_AXES[axes]} in {_studies(counts[axes])}" for axes in sorted(counts, reverse=True))
    where = "the box around the body" if predict["body_box"] else "the whole volume"
    parts = [f"Sliding window over {where}, step {predict['tile_step']:g} of the patch, {depth}: {used}."]
    splits = dict(zip(run.cohort["slug"], run.cohort["split"], strict=True))
    members = [len(record.get("members") or []) for slug, record in records.items() if splits.get(slug) != "train"]
    if "train" in (splits.get(slug) for slug in records):
        parts.append("Train studies were segmented by the fold that did not see their patient.")
    if any(count > 1 for count in members):
        parts.append(f"Other studies: the mean {predict['fold_average']} of {_range(members)} folds.")
    if discriminator_curves(run) and JOINT not in run.training:
        parts.append("The model was that of the tracer the discriminator found; scored studies are never told theirs.")
    return " ".join(parts)


def _postprocessing(postprocess: Mapping) -> str:
    if postprocess["min_volume_mm3"] is not None:
        size = f"smaller than {postprocess['min_volume_mm3']:g} mm³"
    else:
        size = f"of fewer than {postprocess['min_voxels']} voxels"
    texts = [
        f"Components {size} whose SUVmax is below {postprocess['min_suv_max']:g} g/ml were removed (26-connected)."
    ]
    weak = [
        f"{what} is below {postprocess[name]:g}{unit}"
        for name, what, unit in (
            ("min_component_suv_max", "SUVmax", " g/ml"),
            ("min_component_probability", "mean lesion probability", ""),
        )
        if postprocess[name] > 0
    ]
    if weak:
        first = postprocess["component_limits_after_click"]
        when = f", from tumour click {first} on" if first else ""
        texts.append(f"Components of any size whose {' or whose '.join(weak)} were removed{when}.")
    if postprocess["honour_clicks"]:
        texts.append(
            f"Clicks were honoured: a missed tumour click grew a lesion of connected uptake above "
            f"{postprocess['grow_share'] * 100:g} % of its local maximum, at most {postprocess['grow_ml']:g} ml; a "
            "background click removed its component, or cut it from the tumour clicks in it."
        )
    if postprocess["min_unclicked_ml"] > 0:
        texts.append(
            f"Predictions smaller than {postprocess['min_unclicked_ml']:g} ml were emptied where no tumour was clicked."
        )
    return " ".join(texts)


def _evaluation(run: RunResults) -> str:
    if run.scores.empty:
        return ""
    evaluate = run.config["evaluate"]
    text = (
        f"Means with {evaluate['confidence'] * 100:g} % confidence intervals from {evaluate['bootstrap_repeats']} "
        "bootstrap samples of patients (all studies of a patient are drawn together)."
    )
    if not run.interactive.empty:
        steps = ", ".join(str(step) for step in sorted(run.interactive["clicks"].unique()))
        text += f" Interactive evaluation with {steps} clicks of each kind."
    return text


def _studies(count: int) -> str:
    return f"{count:,} {'study' if count == 1 else 'studies'}"


def _range(counts: Sequence[int]) -> str:
    """Counts in words: "4", "3 to 5"."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low}" if low == high else f"{low} to {high}"
