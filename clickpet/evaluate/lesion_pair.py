"""The lesions of a prediction and of the truth of one study, labelled once for all scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickpet.components import LESION_CONNECTIVITY, RunLengthMask, encode_mask, label_components, memory_axes
from clickpet.errors import InputError


@dataclass(frozen=True, eq=False)
class LabelledMask:
    """The runs of a mask, the 18-connected component (lesion) of each run, and the number of components."""

    runs: RunLengthMask
    lesion: np.ndarray
    count: int


@dataclass(frozen=True, eq=False)
class LesionPair:
    """prediction, truth : labelled masks whose runs lie along the same axes."""

    prediction: LabelledMask
    truth: LabelledMask

    @classmethod
    def label(cls, predicted: np.ndarray, truth: np.ndarray) -> LesionPair:
        """Label two masks (x, y, z), bool or any number, non-zero is lesion. InputError for shapes that differ."""
        if predicted.shape != truth.shape:
            raise InputError(
                f"prediction {predicted.shape} and truth {truth.shape} differ in shape", mend="bring both to one grid"
            )
        axes = memory_axes(predicted)
        return cls(*(_labelled(encode_mask(mask, axes)) for mask in (predicted, truth)))


def _labelled(runs: RunLengthMask) -> LabelledMask:
    return LabelledMask(runs, *label_components(runs, LESION_CONNECTIVITY))
