"""Agreement of prediction and truth: Bland-Altman limits of total volumes, and sensitivity by lesion volume."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clickpet.evaluate.bootstrap import bootstrap_mean

#: Edges of the classes of lesion volume, ml.
VOLUME_EDGES_ML = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, np.inf)
#: 95 % limits of agreement lie this many standard deviations from the mean difference.
AGREEMENT_SD = 1.96


def agreement(differences: np.ndarray) -> tuple[float, float, float]:
    """Bland and Altman: mean difference and its 95 % limits of agreement (mean ± 1.96 sample SD).

    differences : (n,), predicted minus true. The limits are NaN for fewer than two values.
    """
    bias = float(np.mean(differences)) if len(differences) else float("nan")
    spread = AGREEMENT_SD * float(np.std(differences, ddof=1)) if len(differences) > 1 else float("nan")
    return bias, bias - spread, bias + spread


def sensitivity_by_volume(lesions: pd.DataFrame, *, repeats: int, confidence: float, seed: int) -> pd.DataFrame:
    """Share of true lesions that were found, in classes of lesion volume, per tracer.

    lesions : rows = true lesions with volume_ml, found (0/1), tracer, patient.  Returns tracer, volume (text), low_ml,
    high_ml, lesions, found, patients, sensitivity, low, high (bootstrap over patients); classes without lesions
    are left out.
    """
    columns = ["tracer", "volume", "low_ml", "high_ml", "lesions", "found", "patients", "sensitivity", "low", "high"]
    if lesions.empty:
        return pd.DataFrame(columns=columns)
    classes = pd.cut(lesions["volume_ml"], VOLUME_EDGES_ML, right=False, labels=False)
    rows = []
    for (tracer, place), members in lesions.groupby(["tracer", classes]):
        low_ml, high_ml = VOLUME_EDGES_ML[int(place)], VOLUME_EDGES_ML[int(place) + 1]
        mean, low, high = bootstrap_mean(
            members["found"].to_numpy(float), members["patient"].tolist(), repeats=repeats, confidence=confidence,
            seed=seed,
        )  # fmt: skip
        rows.append(
            {
                "tracer": tracer,
                "volume": volume_class(low_ml, high_ml),
                "low_ml": low_ml,
                "high_ml": high_ml,
                "lesions": len(members),
                "found": int(members["found"].sum()),
                "patients": members["patient"].nunique(),
                "sensitivity": mean,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows, columns=columns)


def volume_class(low_ml: float, high_ml: float) -> str:
    """A class of volumes as one writes it: "< 0.5", "0.5 to 1", "≥ 50"."""
    if low_ml == 0:
        return f"< {high_ml:g}"
    return f"≥ {low_ml:g}" if np.isinf(high_ml) else f"{low_ml:g} to {high_ml:g}"
