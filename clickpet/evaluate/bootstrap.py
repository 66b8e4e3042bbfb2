"""Bootstrap confidence intervals over patients, because studies of one patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_mean(
    values: Sequence[float],
    patients: Sequence[str],
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> tuple[float, float, float]:
    """Mean over studies with a percentile bootstrap interval over patients.

    values : float (studies,), NaN where a study has none;  patients : (studies,), who each study is of.
    Returns (mean, low, high). Each repeat draws as many patients as there are, with replacement,
    and takes the mean over all studies of those drawn. NaN values are left out, and patients with none
    other. The order of the studies does not matter. No values: three NaN. One patient only: NaN
    bounds, since nothing can be resampled.
    """
    values = np.asarray(values, float)
    names = np.asarray(patients, dtype=object).astype(str)
    if values.shape != names.shape:
        raise ValueError(f"{values.size} values of {names.size} patients")
    known = ~np.isnan(values)
    values, names = values[known], names[known]
    if values.size == 0:
        return float("nan"), float("nan"), float("nan")
    order = np.lexsort((values, names))
    values, names = values[order], names[order]
    _, who = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(who, values), np.bincount(who)
    mean = float(sums.sum() / counts.sum())
    if sums.size == 1:
        return mean, float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(sums.size, size=(repeats, sums.size))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return mean, float(low), float(high)
