"""Options of the training of a lesion model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; defaults are the paper's (section 2.2, "Segmentation Models") or nnU-Net's where it is silent.

    epochs, iterations_per_epoch, validation_iterations : counts;  learning_rate, momentum, weight_decay : of SGD
    with polynomial decay;  oversample_foreground : share of patches that must hold lesion;  training_clicks :
    "all" or "random" (0 to all of a case's clicks, drawn for every patch);  organ_loss_weight : of the organ
    loss beside the lesion loss;  misalignment : keyword arguments of
    `clickpet.train.augmentation.MisalignChannel`, or None for none;  save_every : epochs between checkpoints;
    seed : of everything random;  pretrained_stem, pretrained_head : as `clickpet.train.pretrained.start_from` takes
    them ("stem", "lesion_head").
    """

    epochs: int = 1500
    iterations_per_epoch: int = 350
    validation_iterations: int = 50
    learning_rate: float = 1e-3
    momentum: float = 0.99
    weight_decay: float = 3e-5
    oversample_foreground: float = 0.33
    training_clicks: str = "all"
    organ_loss_weight: float = 1.0
    misalignment: dict | None = None
    save_every: int = 10
    seed: int = 42
    pretrained_stem: str | None = None
    pretrained_head: bool = False
