"""Lesion matching by IoU: the detection metric (DMM) of autoPET V, per study and pooled over studies.

Components are 18-connected. A true lesion is found, and a predicted one is right, if it has an IoU of at least
MATCH_IOU with some lesion of the other mask; one that matches several is not punished.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickpet.components import shared_voxels, sum_by_component
from clickpet.evaluate.lesion_pair import LesionPair
from clickpet.images import voxel_volume_ml

#: Least IoU of a match. autoPET V.
MATCH_IOU = 0.1
#: Sizes of lesions in the tables, by volume in ml: at least the first, below the second number.
SIZES = {"under 1 ml": (0.0, 1.0), "1 to 10 ml": (1.0, 10.0), "10 ml and more": (10.0, float("inf"))}


@dataclass(frozen=True, eq=False)
class LesionMatches:
    """Matches of the lesions of a study; lesions are in the order of their first voxel in x, then y, then z.

    truth_ml, predicted_ml : float64 (lesions,), their volumes;  truth_iou, predicted_iou : float64 (lesions,), largest
    IoU with any lesion of the other mask, 0 if they share no voxel.
    """

    truth_ml: np.ndarray
    predicted_ml: np.ndarray
    truth_iou: np.ndarray
    predicted_iou: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """True lesions that are found: bool (lesions,)."""
        return self.truth_iou >= MATCH_IOU

    @property
    def right(self) -> np.ndarray:
        """Predicted lesions that are right: bool (lesions,)."""
        return self.predicted_iou >= MATCH_IOU

    def score(self) -> dict[str, float | int]:
        """tp (true lesions found), fp (predicted lesions that are not right), fn (true lesions missed), f1_iou10."""
        tp = int(self.found.sum())
        counts = {"tp": tp, "fp": int((~self.right).sum()), "fn": self.found.size - tp}
        return {**counts, "f1_iou10": float(match_f1(**counts)) if self.found.size else float("nan")}

    def largest_first(self) -> np.ndarray:
        """`truth_iou` in the order of lesion tables: by falling volume, equal ones by their first voxel."""
        return self.truth_iou[np.argsort(-self.truth_ml, kind="stable")]


def match_f1(tp, fp, fn):
    """2 tp / (2 tp + fp + fn), of numbers or arrays (sums over studies included); NaN if all three are 0."""
    tp, fp, fn = np.asarray(tp, float), np.asarray(fp, float), np.asarray(fn, float)
    all_lesions = 2 * tp + fp + fn
    return np.divide(2 * tp, all_lesions, out=np.full(all_lesions.shape, np.nan), where=all_lesions > 0)


def match_lesions(predicted: np.ndarray, truth: np.ndarray, affine: np.ndarray) -> LesionMatches:
    """Match the lesions of a prediction with those of the truth by IoU.

    predicted, truth : (x, y, z), bool or any number, non-zero is lesion;  affine : (4, 4), voxel to RAS mm.
    Raises InputError for shapes that differ. autoPET V, DMM.
    """
    return match_pair(LesionPair.label(predicted, truth), affine)


def match_pair(pair: LesionPair, affine: np.ndarray) -> LesionMatches:
    """`match_lesions` of masks that are labelled already."""
    true, found = pair.truth, pair.prediction
    true_voxels = sum_by_component(true.runs.length, true.lesion, true.count)
    predicted_voxels = sum_by_component(found.runs.length, found.lesion, found.count)
    mine, theirs, shared = shared_voxels(true.runs, true.lesion, found.runs, found.lesion)
    iou = shared / (true_voxels[mine] + predicted_voxels[theirs] - shared)
    truth_iou, predicted_iou = np.zeros(true.count), np.zeros(found.count)
    np.maximum.at(truth_iou, mine, iou)
    np.maximum.at(predicted_iou, theirs, iou)
    voxel_ml = voxel_volume_ml(affine)
    return LesionMatches(true_voxels * voxel_ml, predicted_voxels * voxel_ml, truth_iou, predicted_iou)


def size_of(volume_ml: np.ndarray) -> list[str]:
    """The name in SIZES of each volume."""
    names, limits = list(SIZES), [low for low, _ in SIZES.values()]
    return [names[place - 1] for place in np.searchsorted(limits, volume_ml, side="right")]
