"""Options of the training of a lesion model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; defaults are the paper's (section 2.2, "Segmentation Models") or nnU-Net's where it is silent.

    epochs, iterations_per_epoch, validation_iterations : counts;  learning_rate, momentum, weight_decay : of SGD
    with polynomial decay;  oversample_foreground : share of patches that must hold lesion;  training_clicks :
    "all", "random" (0 to all of a case's clicks, drawn for every patch) or "errors" (also corrections of the network's
    own errors);  corrections : keyword arguments of `CorrectionOptions` for "errors" (None: its defaults);
    organ_loss_weight : of the organ loss beside the lesion loss;  lesion_free_loss_weight : of the loss term of patches
    without lesion, 0 for none;  previous_mask : the mask before a correction is a fourth channel, for "errors";
    misalignment : keyword arguments of `clickpet.train.augmentation.MisalignChannel`, or None for none;  save_every :
    epochs between checkpoints;  seed : of everything random;  pretrained_stem, pretrained_head : as
    `clickpet.train.pretrained.start_from` takes them ("stem", "lesion_head").
    """

    epochs: int = 1500
    iterations_per_epoch: int = 350
    validation_iterations: int = 50
    learning_rate: float = 1e-3
    momentum: float = 0.99
    weight_decay: float = 3e-5
    oversample_foreground: float = 0.33
    training_clicks: str = "all"
    corrections: dict | None = None
    organ_loss_weight: float = 1.0
    lesion_free_loss_weight: float = 0.0
    previous_mask: bool = False
    misalignment: dict | None = None
    save_every: int = 10
    seed: int = 42
    pretrained_stem: str | None = None
    pretrained_head: bool = False


#: Keys of the config's section `train` that are options of a training as they are.
_FROM_CONFIG = (
    "epochs",
    "validation_iterations",
    "learning_rate",
    "momentum",
    "weight_decay",
    "oversample_foreground",
    "training_clicks",
    "organ_loss_weight",
    "lesion_free_loss_weight",
    "previous_mask",
    "misalignment",
    "pretrained_stem",
    "pretrained_head",
)


def trained_by(train: Mapping) -> dict:
    """Options of a training that the config's section `train` sets for both tracers; what has no effect is left out."""
    options = {name: train[name] for name in _FROM_CONFIG}
    return options | ({"corrections": train["corrections"]} if train["training_clicks"] == "errors" else {})


@dataclass(frozen=True)
class CorrectionOptions:
    """Corrections of the network's own errors in training.

    share : of the batches whose patches get corrections;  rounds : most of them a patch, each number as likely;
    scribbles : share of the corrections that are scribbles, the others are clicks;  without_clicks : share of the
    patches that show none of the case's own clicks, the others show 1 to all of them.
    """

    share: float = 0.5
    rounds: int = 3
    scribbles: float = 0.5
    without_clicks: float = 0.5
