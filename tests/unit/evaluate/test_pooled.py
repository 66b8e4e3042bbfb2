"""Pooled curves against sums by hand and a bootstrap in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.evaluate.pooled import pooled_curve

NAN = float("nan")


def slowly(numerator, denominator, patients, groups, repeats, confidence, seed):
    """Draws of patients, one by one."""
    names = sorted(set(patients))
    drawn = np.random.default_rng(seed).integers(len(names), size=(repeats, len(names)))

    def curve(chosen):
        means = []
        for group in sorted(set(groups)):
            total, whole = np.zeros(numerator.shape[1]), np.zeros(numerator.shape[1])
            for patient in chosen:
                for study in range(len(patients)):
                    if patients[study] == patient and groups[study] == group:
                        known = np.isfinite(numerator[study]) & np.isfinite(denominator[study])
                        total += np.where(known, numerator[study], 0)
                        whole += np.where(known, denominator[study], 0)
            means.append([t / w if w > 0 else NAN for t, w in zip(total, whole, strict=True)])
        means = np.array(means)
        return np.array(
            [np.mean(column[np.isfinite(column)]) if np.isfinite(column).any() else NAN for column in means.T]
        )

    resampled = np.array([curve([names[place] for place in row]) for row in drawn])
    areas = np.array([np.trapezoid(one) for one in resampled])
    bounds = [(1 - confidence) / 2, (1 + confidence) / 2]

    def interval(value, column):
        column = column[np.isfinite(column)]
        return [value, *(np.quantile(column, bounds) if column.size and len(names) > 1 else (NAN, NAN))]

    values = curve(names)
    return (
        [interval(value, column) for value, column in zip(values, resampled.T, strict=True)],
        interval(np.trapezoid(values), areas),
    )


@given(seed=st.integers(0, 10**6), studies=st.integers(1, 7), one_group=st.booleans())
@settings(max_examples=25, deadline=None)
def test_equals_the_plain_bootstrap(seed, studies, one_group):
    rng = np.random.default_rng(seed)
    numerator, denominator = rng.integers(0, 5, (2, studies, 3)).astype(float)
    numerator[rng.random(studies) < 0.2] = NAN
    patients = [f"p{number}" for number in rng.integers(0, 4, studies)]
    groups = ["g"] * studies if one_group else [f"g{number}" for number in rng.integers(0, 2, studies)]
    options = {"repeats": 20, "confidence": 0.9, "seed": seed}
    found = pooled_curve(numerator, denominator, patients, None if one_group else groups, **options)
    values, area = slowly(numerator, denominator, patients, groups, *options.values())
    np.testing.assert_allclose(found.values, values, rtol=1e-9)
    np.testing.assert_allclose(found.area, area, rtol=1e-9)


def test_groups_weigh_the_same():
    """Three studies of one centre and one of another: the mean over centres, not over studies."""
    dice = np.array([[0.2], [0.4], [0.6], [1.0]])
    found = pooled_curve(dice, np.ones_like(dice), list("abcd"), ["x", "x", "x", "y"], repeats=5, seed=0)
    assert found.values[0, 0] == pytest.approx((0.4 + 1.0) / 2)
    assert np.isnan(found.area).all()  # one round has no area


def test_one_patient_has_no_interval():
    found = pooled_curve(np.array([[1.0, 2.0]]), np.ones((1, 2)), ["a"], repeats=5, seed=0)
    assert found.values[:, 0].tolist() == [1, 2]
    assert np.isnan(found.values[:, 1:]).all()
    assert found.area[0] == 1.5
