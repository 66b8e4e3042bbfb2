"""A prediction of one study, and the options that it is made with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from clickpet.errors import InputError
from clickpet.predict.mirroring import Workload


@dataclass(frozen=True)
class Prediction:
    """mask : uint8 (x, y, z), 1 lesion, on the PET grid, whose affine is `affine`.

    details : "mirror_axes", "members", "tiles", "forward_passes", "batch" (tiles in a forward pass), "voxels",
    "network_grid", "disagreement" (mean over the lesion, see `SlidingWindowOutput.mean_spread`; 0 without lesion, None
    for one fold), "seconds" of each part, "orientation" (of the study's own axes).
    disagreement : float32 (x, y, z), standard deviation of the lesion probability over the folds, in the mask or
    everywhere as asked for, else 0; None if not asked for or for one fold.
    probability : float16 (x, y, z), the ensemble's lesion probability, 0 where no tile looked and, if it was asked for
    in the mask alone, outside of it; None if not asked for.
    tiles_run : tiles that the networks saw; the output of the others was known.
    """

    mask: np.ndarray
    affine: np.ndarray
    details: dict
    disagreement: np.ndarray | None = None
    probability: np.ndarray | None = None
    tiles_run: int = 0


@dataclass(frozen=True)
class InferenceOptions:
    """Options of inference; see `LesionEnsemble.predict`."""

    tile_step: float = 0.6
    mirror_axes: Sequence[int] | Callable[[Workload], Sequence[int]] = (0, 1, 2)
    body_box: bool = True
    fold_average: str = "softmax"
    disagreement: str = "none"
    threshold: float = 0.5
    save_probability: bool = False
    lesion_probability: bool = False
    batch: int | None = None
    nnunet_arithmetic: bool = False

    def __post_init__(self):
        if not 0 < self.tile_step <= 1:
            raise InputError(
                f"predict.tile_step is {self.tile_step}", mend="give a part of a tile, above 0 and at most 1"
            )
        if self.fold_average not in ("softmax", "logits"):
            raise InputError(f"fold_average is {self.fold_average!r}", mend="give 'softmax' or 'logits'")
        if self.disagreement not in ("none", "lesions", "everywhere"):
            raise InputError(f"disagreement is {self.disagreement!r}", mend="give 'none', 'lesions' or 'everywhere'")
        if not 0 < self.threshold < 1:
            raise InputError(f"predict.threshold is {self.threshold}", mend="give a probability between 0 and 1")
        if self.nnunet_arithmetic and (self.threshold != 0.5 or self.save_probability or self.lesion_probability):
            raise ValueError("nnunet_arithmetic compares two logits: it has no threshold and no probability map")

    @property
    def lesion_above(self) -> float:
        """What the ensemble's mean difference exceeds in a lesion: 0 at a threshold of one half."""
        if self.fold_average == "logits":
            return math.log(self.threshold / (1 - self.threshold))
        return 2 * self.threshold - 1

    def probability(self, difference: np.ndarray) -> np.ndarray:
        """Lesion probability of mean differences of probabilities, p - (1 - p), or of logits."""
        return expit(difference) if self.fold_average == "logits" else (difference + 1) / 2
