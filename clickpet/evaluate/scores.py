"""Scores of a lesion mask against the truth: Dice, FPV, FNV and lesion detection. Paper, section 3.

By the official definitions of autoPET III and IV. Components are 18-connected. FPV is the volume of the predicted
components that touch no true voxel, FNV that of the true components that touch no predicted voxel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from clickpet.components import component_overlap, sum_by_component
from clickpet.errors import InputError
from clickpet.evaluate.lesion_pair import LesionPair
from clickpet.evaluate.lesion_table import measure_lesions, measure_study
from clickpet.evaluate.matching import LesionMatches, match_pair
from clickpet.images import Image, grid_text, same_grid, voxel_volume_ml

if TYPE_CHECKING:
    import pandas as pd

_NAN = float("nan")


def score_masks(predicted: np.ndarray, truth: np.ndarray, affine: np.ndarray) -> dict[str, float | int]:
    """Dice, FPV, FNV and lesion-wise detection of one study.

    predicted, truth : (x, y, z), bool or any number, non-zero is lesion;  affine : (4, 4), voxel to RAS mm.

    Returns, in this order:

    dice                  2 |P and T| / (|P| + |T|) over voxels
    fpv_ml, fnv_ml        official false positive and false negative volume
    truth_lesions, predicted_lesions   components of truth and prediction
    found_lesions         true components that touch at least one predicted voxel
    false_lesions         predicted components that touch no true voxel
    sensitivity           found_lesions / truth_lesions
    precision             (predicted_lesions - false_lesions) / predicted_lesions
    f1                    harmonic mean of sensitivity and precision
    truth_volume_ml, prediction_volume_ml   total lesion volumes (TMTV)

    Truth empty: dice, fnv_ml, sensitivity and f1 are NaN (they leave the means); fpv_ml counts.
    Prediction empty: fpv_ml is 0, precision NaN; with a truth that is not, dice and f1 are 0 and
    fnv_ml is the whole true volume. Raises InputError for shapes that differ.
    """
    return _score_pair(LesionPair.label(predicted, truth), affine)


def score_and_match(
    predicted: np.ndarray, truth: np.ndarray, affine: np.ndarray
) -> tuple[dict[str, float | int], LesionMatches]:
    """`score_masks`, and `clickpet.evaluate.matching.match_lesions`, of masks that are labelled once for both."""
    pair = LesionPair.label(predicted, truth)
    return _score_pair(pair, affine), match_pair(pair, affine)


def _score_pair(pair: LesionPair, affine: np.ndarray) -> dict[str, float | int]:
    predicted, truth = pair.prediction, pair.truth
    shared = component_overlap(truth.runs, truth.lesion, truth.count, predicted.runs)
    found = shared > 0
    right = component_overlap(predicted.runs, predicted.lesion, predicted.count, truth.runs) > 0
    missed_vox = int(sum_by_component(truth.runs.length, truth.lesion, truth.count)[~found].sum())
    false_vox = int(sum_by_component(predicted.runs.length, predicted.lesion, predicted.count)[~right].sum())
    n_found, n_right = int(found.sum()), int(right.sum())
    none_true = truth.count == 0
    volume_ml = voxel_volume_ml(affine)
    sensitivity = _NAN if none_true else n_found / truth.count
    precision = _NAN if predicted.count == 0 else n_right / predicted.count
    voxels = predicted.runs.voxels + truth.runs.voxels
    return {
        "dice": _NAN if none_true else 2 * int(shared.sum()) / voxels,
        "fpv_ml": false_vox * volume_ml,
        "fnv_ml": _NAN if none_true else missed_vox * volume_ml,
        "truth_lesions": truth.count,
        "predicted_lesions": predicted.count,
        "found_lesions": n_found,
        "false_lesions": predicted.count - n_right,
        "sensitivity": sensitivity,
        "precision": precision,
        "f1": _f1(sensitivity, precision),
        "truth_volume_ml": truth.runs.voxels * volume_ml,
        "prediction_volume_ml": predicted.runs.voxels * volume_ml,
    }


def _f1(sensitivity: float, precision: float) -> float:
    if math.isnan(sensitivity):
        return _NAN
    if math.isnan(precision) or sensitivity + precision == 0:
        return 0.0
    return 2 * sensitivity * precision / (sensitivity + precision)


def score_case(
    predicted: np.ndarray, truth: np.ndarray, suv: np.ndarray, affine: np.ndarray
) -> tuple[dict[str, float | int], pd.DataFrame]:
    """All numbers of a scored study, and the table of its true lesions.

    predicted, truth : (x, y, z), non-zero is lesion;  suv : float (x, y, z), g/ml;  affine : (4, 4), voxel to RAS mm.

    Returns (score, lesions): `score_masks` and then truth_tlg, prediction_tlg (g), truth_suv_max,
    prediction_suv_max (g/ml, NaN without lesions), and tp, fp, fn, f1_iou10 of
    `clickpet.evaluate.matching.match_lesions`;  `measure_lesions` of the truth with the columns `found` and then
    `matched_iou`. Raises InputError for shapes that differ.
    """
    score, matches = score_and_match(predicted, truth, affine)
    lesions = measure_lesions(truth, suv, affine, predicted=predicted)
    true_study = measure_study(lesions)
    predicted_study = measure_study(measure_lesions(predicted, suv, affine))
    for name in ("tlg", "suv_max"):
        score[f"truth_{name}"] = true_study[name]
        score[f"prediction_{name}"] = predicted_study[name]
    return {**score, **matches.score()}, lesions.assign(matched_iou=matches.largest_first())


def score_labels(row: dict, tracer: dict, case_folds: dict | None = None) -> dict:
    """What names a case in a score: the first columns of the score tables.

    row : of the cohort table (case, slug, tracer, patient, centre, split, ...);  tracer : `tracer.json`;
    case_folds : {slug: fold} of the train cases, None for others. Where the table has no tracer, the
    one that was found takes its place.
    """
    fold = (case_folds or {}).get(row["slug"], "")
    return {
        "case": row["case"],
        "slug": row["slug"],
        "tracer": row["tracer"] or tracer["tracer"],
        "tracer_found": tracer["tracer"],
        "patient": row["patient"],
        "centre": row["centre"],
        "split": row["split"],
        "fold": str(fold),
    }


def check_one_grid(images: dict[str, Image], *, mend: str = "delete both files and run the workflow again") -> None:
    """Raise InputError with `mend` unless all `images` ({name or path: Image}) lie on the grid of the first."""
    (first, base), *others = images.items()
    for name, image in others:
        if not same_grid(image.shape, image.affine, base.shape, base.affine):
            raise InputError(
                f"its grid ({grid_text(image.shape, image.affine)}) is not that of {first} "
                f"({grid_text(base.shape, base.affine)})",
                where=name,
                mend=mend,
            )
