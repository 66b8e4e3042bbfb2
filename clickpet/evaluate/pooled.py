"""Means and pooled ratios over studies, round by round, with bootstrap intervals over patients, weighted by groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PooledCurve:
    """A score over rounds and the area under it, each as (estimate, low, high).

    values : float64 (rounds, 3);  area : float64 (3,), NaN with fewer than two rounds.
    """

    values: np.ndarray
    area: np.ndarray


def pooled_curve(
    numerator: np.ndarray,
    denominator: np.ndarray,
    patients: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> PooledCurve:
    """Sum of numerators over sum of denominators at each round, averaged over groups, with intervals over patients.

    numerator, denominator : float (studies, rounds), NaN where a study has none;  patients : who each study is of;
    groups : what each study belongs to, all groups weigh the same (None: one group).

    A mean is the ratio of a score and 1, a pooled F1 that of 2 tp and 2 tp + fp + fn (autoPET V: from the sums). Each
    repeat draws as many patients as there are, with replacement. A group without a denominator is left out of the mean
    over groups. The area is the trapezoid over the rounds. No value: NaN; one patient: NaN bounds.
    """
    known = np.isfinite(numerator) & np.isfinite(denominator)
    parts = np.stack([np.where(known, numerator, 0.0), np.where(known, denominator, 0.0)])
    names, who = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    labels = np.asarray([""] * len(who) if groups is None else groups, dtype=object).astype(str)
    levels, group = np.unique(labels, return_inverse=True)
    sums = np.zeros((2, len(names), len(levels), numerator.shape[1]))
    np.add.at(sums, (slice(None), who, group), parts)
    weights = np.ones((1, len(names)))
    if len(names) > 1:
        drawn = np.random.default_rng(seed).integers(len(names), size=(repeats, len(names)))
        counts = np.apply_along_axis(np.bincount, 1, drawn, minlength=len(names))
        weights = np.concatenate([weights, counts])
    total, whole = np.einsum("wp,kpgr->kwgr", weights, sums)
    ratio = np.divide(total, whole, out=np.full(total.shape, np.nan), where=whole > 0)
    curves = _mean_of_known(ratio)
    areas = np.trapezoid(curves, axis=1) if curves.shape[1] > 1 else np.full(len(curves), np.nan)
    return PooledCurve(_interval(curves, confidence).T, _interval(areas[:, None], confidence)[:, 0])


def _mean_of_known(ratio: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN where nothing is left."""
    known = np.isfinite(ratio)
    number = known.sum(axis=1)
    total = np.where(known, ratio, 0.0).sum(axis=1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _interval(curves: np.ndarray, confidence: float) -> np.ndarray:
    """(3, rounds): the first row as the estimate, and the bounds that the other rows give."""
    bounds = np.full((2, curves.shape[1]), np.nan)
    for place, column in enumerate(curves[1:].T):
        column = column[np.isfinite(column)]
        if column.size:
            bounds[:, place] = np.quantile(column, [(1 - confidence) / 2, (1 + confidence) / 2])
    return np.concatenate([curves[:1], bounds])
