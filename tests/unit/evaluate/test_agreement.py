"""Limits of agreement, and sensitivity by lesion volume."""

import numpy as np
import pandas as pd
import pytest

from clickpet.evaluate.agreement import agreement, sensitivity_by_volume, volume_class

BOOTSTRAP = {"repeats": 100, "confidence": 0.95, "seed": 1}


def test_agreement_is_mean_and_sample_deviation():
    differences = np.array([1.0, 2.0, 3.0, 6.0])
    bias, low, high = agreement(differences)
    deviation = np.sqrt(((differences - 3) ** 2).sum() / 3)
    assert (bias, low, high) == pytest.approx((3, 3 - 1.96 * deviation, 3 + 1.96 * deviation))
    assert agreement(np.array([2.0]))[0] == 2
    assert np.isnan(agreement(np.array([2.0]))[1:]).all()
    assert np.isnan(agreement(np.array([]))).all()


def test_sensitivity_counts_lesions_in_half_open_classes():
    lesions = pd.DataFrame(
        {
            "tracer": ["fdg"] * 5 + ["psma"],
            "patient": ["a", "a", "b", "b", "c", "d"],
            "volume_ml": [0.49, 0.5, 0.99, 1.0, 60.0, 0.1],
            "found": [0, 1, 0, 1, 1, 1],
        }
    )
    table = sensitivity_by_volume(lesions, **BOOTSTRAP)
    assert table[["tracer", "volume", "lesions", "found", "patients"]].to_numpy().tolist() == [
        ["fdg", "< 0.5", 1, 0, 1],
        ["fdg", "0.5 to 1", 2, 1, 2],
        ["fdg", "1 to 2", 1, 1, 1],
        ["fdg", "≥ 50", 1, 1, 1],
        ["psma", "< 0.5", 1, 1, 1],
    ]
    assert table["sensitivity"].tolist() == [0, 0.5, 1, 1, 1]
    assert np.isnan(table["low"].iloc[0])
    assert (table["low"].iloc[1], table["high"].iloc[1]) == (0, 1)
    assert (volume_class(0, 0.5), volume_class(2, 5), volume_class(50, np.inf)) == ("< 0.5", "2 to 5", "≥ 50")
