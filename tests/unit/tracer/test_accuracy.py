"""The accuracy report of the discriminator."""

import pytest

from clickpet.tracer.accuracy import accuracy_report, wilson_interval


def rows_of(*answers):
    return [
        {"case": f"case {n}", "tracer": true, "tracer_found": found, "source": source, "fold": fold}
        for n, (true, found, source, fold) in enumerate(answers)
    ]


def test_accuracy_report():
    report = accuracy_report(
        rows_of(
            ("fdg", "fdg", "found", 0),
            ("fdg", "psma", "found", 0),
            ("psma", "psma", "found", 1),
            ("psma", "psma", "found", None),
            ("psma", "psma", "given", None),
        )
    )
    assert (report["n"], report["correct"], report["accuracy"], report["not_asked"]) == (4, 3, 0.75, 1)
    assert report["confusion"] == {"fdg": {"fdg": 1, "psma": 1}, "psma": {"fdg": 0, "psma": 2}}
    assert report["wrong"] == ["case 1"]
    assert report["folds"] == {
        "0": {"n": 2, "correct": 1, "accuracy": 0.5},
        "1": {"n": 1, "correct": 1, "accuracy": 1},
        "ensemble": {"n": 1, "correct": 1, "accuracy": 1},
    }
    assert list(report["folds"]) == ["0", "1", "ensemble"]


def test_accuracy_of_a_cohort_that_nobody_was_asked_about():
    report = accuracy_report(rows_of(("fdg", "fdg", "only", 0), ("fdg", "fdg", "only", 1)))
    assert (report["n"], report["not_asked"], report["accuracy"]) == (0, 2, None)
    assert (report["accuracy_low"], report["accuracy_high"]) == (None, None)


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1605, 1611, 0.9919, 0.9983)],
)
def test_wilson_interval_against_published_values(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=6e-5)
