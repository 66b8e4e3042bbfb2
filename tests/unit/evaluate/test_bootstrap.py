"""The bootstrap over patients against a plain loop, and what its intervals are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.evaluate.bootstrap import bootstrap_mean


def plain(values, patients, repeats, confidence, seed):
    """Draw patients again and again, collect their studies, take the mean."""
    studies = {}
    for value, patient in zip(values, patients, strict=True):
        if not np.isnan(value):
            studies.setdefault(patient, []).append(value)
    names = sorted(studies)
    draws = np.random.default_rng(seed).integers(len(names), size=(repeats, len(names)))
    means = [np.mean([value for place in draw for value in studies[names[place]]]) for draw in draws]
    edge = 50 * (1 - confidence)
    return np.percentile(means, edge), np.percentile(means, 100 - edge)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 100) | st.just(np.nan), st.sampled_from("abcdef")), min_size=1, max_size=20),
    st.integers(0, 99),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_equals_a_loop_over_repeats(studies, seed, confidence):
    values, patients = zip(*studies, strict=True)
    mean, low, high = bootstrap_mean(values, patients, repeats=50, confidence=confidence, seed=seed)
    known = [value for value in values if not np.isnan(value)]
    if not known:
        assert np.isnan([mean, low, high]).all()
        return
    assert mean == pytest.approx(np.mean(known), abs=1e-9)
    if len({patient for value, patient in studies if not np.isnan(value)}) == 1:
        assert np.isnan([low, high]).all()
    else:
        assert (low, high) == pytest.approx(plain(values, patients, 50, confidence, seed), abs=1e-9)


def test_the_order_of_studies_does_not_matter():
    rng = np.random.default_rng(0)
    values, patients = rng.random(40), rng.integers(0, 15, 40)
    order = rng.permutation(40)
    assert bootstrap_mean(values, patients, seed=3) == bootstrap_mean(values[order], patients[order], seed=3)
    assert bootstrap_mean(values, patients, seed=3) != bootstrap_mean(values, patients, seed=4)


def test_studies_of_one_patient_are_drawn_together():
    """Ten patients with ten equal studies each: an interval over studies would be three times too narrow."""
    means = np.random.default_rng(1).normal(size=10)
    values, patients = np.repeat(means, 10), np.repeat(np.arange(10), 10)
    _, low, high = bootstrap_mean(values, patients, seed=0)
    _, low_single, high_single = bootstrap_mean(means, np.arange(10), seed=0)
    _, low_studies, high_studies = bootstrap_mean(values, np.arange(100), seed=0)
    assert (low, high) == pytest.approx((low_single, high_single))
    assert (high - low) / (high_studies - low_studies) == pytest.approx(np.sqrt(10), rel=0.1)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(300):
        patients = rng.integers(0, 40, 60)
        values = rng.normal(0, 1, 40)[patients] + rng.normal(0, 0.3, 60)
        _, low, high = bootstrap_mean(values, patients, repeats=300, confidence=0.9, seed=trial)
        held += low <= 0 <= high
    assert 0.82 <= held / 300 <= 0.95


def test_patients_without_a_value_do_not_count():
    values = [1.0, 2.0, np.nan, np.nan]
    assert bootstrap_mean(values, list("abcd"), seed=0) == bootstrap_mean(values[:2], list("ab"), seed=0)


def test_no_values():
    assert np.isnan(bootstrap_mean([], [], seed=0)).all()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 values of 1 patients"):
        bootstrap_mean([1, 2], ["a"], seed=0)
