"""Report section on the method: the resolved configuration in words, and definitions of the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickpet.cohort import JOINT
from clickpet.report.page import Definitions, Section, Text

PAPER = "AutoPET IV: Semi-automatic PET/CT across tracers"
#: Definitions of the official evaluation of autoPET III and IV, as the scores use them.
METRICS = (
    (
        "Dice",
        "2·|P ∩ T| / (|P| + |T|) over the voxels of the predicted mask P and the true mask T of a study; 0 to 1, "
        "higher is better. Not defined (left out of the means) where the truth has no lesion.",
    ),
    (
        "FPV (ml)",
        "False positive volume: the volume of the predicted components that touch no true voxel. Lower is better. "
        "Counted for every study that has a truth, also where that truth has no lesion; 0 where nothing is predicted.",
    ),
    (
        "FNV (ml)",
        "False negative volume: the volume of the true components that touch no predicted voxel. Lower is better. "
        "Not defined (left out of the means) where the truth has no lesion.",
    ),
    (
        "Component",
        "A set of voxels connected over faces or edges (18-connected). Volumes are voxels times dx·dy·dz / 1000 in ml.",
    ),
    (
        "AUC",
        "Area under a score over the clicks of each kind, by the trapezoid rule with step 1; from 0 to 10 clicks a "
        "perfect Dice gives 10.",
    ),
    ("TMTV (ml)", "Total volume of the lesions of a study."),
    (
        "Sensitivity",
        "Share of the true components of a study that touch at least one predicted voxel (found lesions). Not defined "
        "where the truth has no lesion.",
    ),
    ("Precision", "Share of the predicted components of a study that touch a true voxel; F1: harmonic mean of both."),
)


def methods_section(config: Mapping) -> Section:
    """What was run, a paragraph a stage, with the values of `config` (resolved: every key is there)."""
    paragraphs = [
        ("Clicks", _clicks(config["clicks"])),
        ("Heatmaps", _heatmaps(config["heatmap"])),
        ("Organs", _organs(config["organs"], config["train"])),
        ("Tracer discriminator", _tracer(config["tracer"])),
        ("Lesion models", _training(config["train"], config["folds"])),
        ("Inference", _inference(config["predict"])),
        ("Post-processing", _postprocessing(config["postprocess"])),
        ("Evaluation", _evaluation(config["evaluate"])),
    ]
    return Section(
        "methods",
        "What was run",
        [
            Text(
                f"The stages follow “{PAPER}”, section 2. Values in this section are those of this run; the whole "
                "configuration is in the section on provenance."
            ),
            Definitions(paragraphs),
        ],
    )


def definitions_block() -> Definitions:
    """The metrics, defined."""
    return Definitions(METRICS)


def _clicks(clicks: Mapping) -> str:
    how = {
        "missing": "were taken from the cohort's click files; where a study has none they were simulated",
        "always": "were simulated for every study",
        "never": "were taken from the cohort's click files; studies without one have none",
    }[clicks["simulate"]]
    if clicks["simulate"] == "never":
        return f"Tumour and background clicks {how}."
    offset = clicks.get("offset_vox", 0)
    return (
        f"Tumour and background clicks {how} from the true lesions and the PET as in autoPET IV: up to "
        f"{clicks['budget']} of each kind (seed {clicks['seed']}), tumour clicks at the innermost voxel of up to "
        f"{clicks['budget']} lesions and then on their borders, background clicks on the hottest uptake outside lesions"
        + (f", moved by up to {offset} voxels per axis." if offset else ".")
    )


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


def _organs(organs: Mapping, train: Mapping) -> str:
    source = {
        "given": "Organ maps were given with the cohort",
        "totalsegmentator": "Organ maps are TotalSegmentator's" + (" (3 mm models)" if organs.get("fast") else ""),
        "none": "No organ maps: the lesion models were trained without a second head",
    }[organs["provider"]]
    if organs["provider"] == "none":
        return source + "."
    erased = "erased from" if organs.get("erase_lesions") else "kept in"
    return (
        f"{source}; a second head learns them during training (loss weight {train['organ_loss_weight']:g}) and is off "
        f"at inference. Organs under lesions were {erased} the map."
    )


def _tracer(tracer: Mapping) -> str:
    return (
        f"A small convolutional network looks at the coronal maximum intensity projection of the PET "
        f"({tracer['size']} x {tracer['size']} pixels of {tracer['spacing_mm']:g} mm). Training: at most "
        f"{tracer['epochs']} epochs, learning rate {tracer['learning_rate']:g}, early stopping. Train studies are told "
        "by the fold that did not see their patient, others by the majority of all folds."
    )


def _training(train: Mapping, folds: Sequence) -> str:
    iterations = train["iterations_per_epoch"]
    patch = " x ".join(str(length) for length in train["patch_size"])
    seen = "(if it saw autoPET data, cross-validated scores are not out-of-fold)"
    start = f"from a pretrained CT/PET checkpoint {seen}" if train["pretrained"] else "from random weights"
    clicks = {
        "all": "all clicks",
        "random": "a random number of clicks",
        "errors": "a random number of clicks and corrections of the network's own errors",
    }[train["training_clicks"]]
    joint = train["models"] == "joint"
    counts = {name: count for name, count in iterations.items() if (name == JOINT) == joint}
    if joint and not counts:
        counts = {JOINT: sum(count for name, count in iterations.items() if name != JOINT)}
    each = " and ".join(f"{count} ({name.upper()})" for name, count in counts.items())
    return (
        f"nnU-Net residual-encoder U-Nets, one per {'' if joint else 'tracer and '}fold "
        f"(folds: {', '.join(str(fold) for fold in folds)}), "
        f"{start}: {train['epochs']} epochs of {each} iterations, patch {patch} voxels, batch {train['batch_size']}, "
        f"learning rate {train['learning_rate']:g}, {clicks} shown in training. Folds are split by patient."
    )


def _inference(predict: Mapping) -> str:
    if predict["mirroring"] == "voxels":
        million = min(predict["voxel_limits"]) >= 1e5
        three, two, one = (f"{limit / 1e6:g}" if million else f"{limit:g}" for limit in predict["voxel_limits"])
        unit = "million voxels" if million else "voxels"
        depth = f"mirroring over three axes below {three} {unit}, two below {two}, one below {one}, else none"
    else:
        depth = f"as many mirroring axes as fit {predict['time_limit_s']:g} s by this machine's calibration"
    where = "the box around the body" if predict["body_box"] else "the whole volume"
    return (
        f"Sliding window over {where}, step {predict['tile_step']:g} of the patch, {depth}. Train studies are "
        f"segmented by the fold that did not see their patient, others by the mean {predict['fold_average']} of all "
        "folds. The model is that of the tracer the discriminator found."
    )


def _postprocessing(postprocess: Mapping) -> str:
    if postprocess["min_volume_mm3"] is not None:
        size = f"smaller than {postprocess['min_volume_mm3']:g} mm³"
    else:
        size = f"of fewer than {postprocess['min_voxels']} voxels"
    return f"Components {size} whose SUVmax is below {postprocess['min_suv_max']:g} g/ml were removed (26-connected)."


def _evaluation(evaluate: Mapping) -> str:
    return (
        f"Means with {evaluate['confidence'] * 100:g} % confidence intervals from {evaluate['bootstrap_repeats']} "
        "bootstrap samples of patients (all studies of a patient are drawn together). Interactive evaluation with "
        f"{', '.join(str(step) for step in evaluate['click_steps'])} clicks of each kind."
    )
