"""Which cases come first, and what is said of them."""

import numpy as np
import pandas as pd

from clickpet.report.gallery import WorstCases, select_cases, worst_first, worst_pictures


def scores(*rows):
    return pd.DataFrame(rows, columns=["slug", "dice", "fpv_ml", "fnv_ml"])


SCORES = scores(
    ("good", 0.9, 0.0, 0.0),
    ("bad", 0.1, 0.0, 0.0),
    ("zero-small", 0.0, 1.0, 2.0),
    ("zero-large", 0.0, 5.0, 2.0),
    ("healthy-clean", np.nan, 0.0, np.nan),
    ("healthy-false", np.nan, 3.0, np.nan),
)


def test_worst_first_within_each_group():
    worst = worst_first(SCORES, ["new", *SCORES["slug"]])
    assert worst.with_lesions == ["zero-large", "zero-small", "bad", "good"]
    assert worst.lesion_free == ["healthy-false", "healthy-clean"]
    assert worst.without_truth == ["new"]


def test_only_cases_with_a_picture_count():
    assert worst_first(SCORES, ["bad", "healthy-clean"]) == WorstCases(["bad"], ["healthy-clean"], [])
    assert worst_first(pd.DataFrame(), ["a", "b"]) == WorstCases([], [], ["a", "b"])


def test_lesion_free_cases_take_a_quarter_while_others_wait():
    worst = WorstCases([f"ill{n}" for n in range(20)], [f"healthy{n}" for n in range(20)], ["new"])
    chosen = select_cases(worst, 8)
    assert (len(chosen.with_lesions), len(chosen.lesion_free), len(chosen.without_truth)) == (6, 2, 0)
    assert chosen.with_lesions == [f"ill{n}" for n in range(6)]


def test_free_places_are_filled():
    chosen = select_cases(WorstCases(["ill"], [f"healthy{n}" for n in range(5)], ["new"]), 5)
    assert chosen == WorstCases(["ill"], ["healthy0", "healthy1", "healthy2", "healthy3"], [])
    chosen = select_cases(WorstCases(["ill"], ["healthy"], ["new1", "new2", "new3"]), 4)
    assert chosen.without_truth == ["new1", "new2"]
    assert select_cases(WorstCases(["ill"], [], []), 0) == WorstCases([], [], [])


def test_pictures_of_the_worst_cases_by_their_folder():
    pictures = [f"results/cases/{slug}/mip_overlay.png" for slug in SCORES["slug"]]
    assert [path.parent.name for path in worst_pictures(SCORES, pictures, 4)] == [
        "zero-large", "zero-small", "bad", "healthy-false",
    ]  # fmt: skip
