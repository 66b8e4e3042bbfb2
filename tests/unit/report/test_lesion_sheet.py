"""The slices of a study's lesions: which are drawn, in which order, and what they are called."""

import numpy as np
import pytest

from clickpet.report.lesion_sheet import COLUMNS, MOST_LESIONS, draw_lesion_sheet, outcome_numbers
from clickpet.report.lesion_slices import SliceStudy, draw_lesion_slice

SHAPE = (40, 40, 20)
AFFINE = np.diag([4.0, 4, 4, 1])


def mask(*places):
    array = np.zeros(SHAPE, bool)
    for place in places:
        array[place] = True
    return array


FOUND, SMALL, FALSE = np.s_[5:9, 5:9, 5:9], np.s_[20:22, 20:22, 10], np.s_[30:32, 5:7, 15]
MISSED, MISSED_LARGE = np.s_[30:32, 30:32, 3], np.s_[10:14, 30:34, 12:14]


def test_missed_come_first_then_false_then_found_and_larger_before_smaller():
    numbers, names = outcome_numbers(mask(FOUND, SMALL, FALSE), mask(FOUND, SMALL, MISSED, MISSED_LARGE))
    assert list(names.values()) == ["missed", "missed", "false", "found", "found"]
    places = dict(zip(("missed large", "missed", "false", "found", "small"), names, strict=True))
    for name, place in (
        ("missed large", MISSED_LARGE), ("missed", MISSED), ("false", FALSE), ("found", FOUND), ("small", SMALL),
    ):  # fmt: skip
        assert (numbers[place] == places[name]).all()
    assert np.count_nonzero(numbers) == sum(mask(place).sum() for place in (FOUND, SMALL, FALSE, MISSED, MISSED_LARGE))


def test_without_a_truth_nothing_is_missed_or_false():
    assert outcome_numbers(mask(FOUND, SMALL), None)[1] == {1: "found", 2: "found"}
    assert outcome_numbers(mask(), None)[1] == {}


def sheet(lesions, truth):
    suv = np.ones(SHAPE, np.float32)
    return draw_lesion_sheet(suv, np.zeros(SHAPE, np.float32), lesions, AFFINE, truth=truth)


@pytest.mark.parametrize("count", [1, COLUMNS + 1, MOST_LESIONS + 3])
def test_the_sheet_holds_so_many_slices(count):
    single = sheet(mask(SMALL), None).shape
    many = mask(*(np.s_[3 * number : 3 * number + 2, 3, 3] for number in range(count)))
    height, width, _ = sheet(many, None).shape
    shown = min(count, MOST_LESIONS)
    assert (height, width) == (-(-shown // COLUMNS) * single[0], single[1])


def test_a_study_without_lesions_says_so():
    picture = sheet(mask(), mask())
    assert picture.dtype == np.uint8
    assert (picture < 200).any()
    assert picture.shape[0] < sheet(mask(SMALL), None).shape[0]


def test_a_missed_lesion_has_the_contour_of_the_truth_only():
    numbers, names = outcome_numbers(mask(FOUND), mask(MISSED))
    missed = next(number for number, name in names.items() if name == "missed")
    volumes = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    plain = SliceStudy.turned(*volumes, numbers, AFFINE, truth=mask(MISSED))
    study = SliceStudy.turned(*volumes, numbers, AFFINE, truth=mask(MISSED), missed=frozenset([missed]))
    figure = draw_lesion_slice(study, missed, window_max_suv=10, title="missed lesion")
    assert [len(view.collections) for view in figure.axes] == [1, 1]
    assert figure.axes[1].get_title(loc="left") == "missed lesion"
    assert [len(view.collections) for view in draw_lesion_slice(plain, missed, window_max_suv=10).axes] == [2, 2]
