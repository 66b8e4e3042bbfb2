"""Areas under the scores over clicks, and their tables."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.evaluate.interactive import (
    COLUMNS,
    area_under_clicks,
    check_steps,
    interactive_areas,
    interactive_rows,
    interactive_table,
)

FINITE = st.floats(-1e3, 1e3)


@settings(deadline=None)
@given(st.lists(FINITE, min_size=11, max_size=11))
def test_area_is_the_sum_of_trapezoids(values):
    expected = sum((values[k] + values[k + 1]) / 2 for k in range(10))
    assert area_under_clicks(values) == pytest.approx(expected, abs=1e-6)


def test_official_areas():
    assert area_under_clicks([1.0] * 11) == 10
    assert area_under_clicks([0.0] * 11) == 0
    assert area_under_clicks(np.arange(11) / 10) == pytest.approx(5)
    assert area_under_clicks([0.0] * 10 + [1.0]) == 0.5


def test_other_steps_keep_the_scale():
    assert area_under_clicks([1, 1, 1], [0, 5, 10]) == 10
    assert area_under_clicks([0, 1, 1], [0, 2, 10]) == 9


@pytest.mark.parametrize("values", [[0.5, math.nan, 0.7], [math.nan] * 11, [1.0], []])
def test_no_area(values):
    assert math.isnan(area_under_clicks(values))


@pytest.mark.parametrize("clicks", [[0, 1], [0, 2, 1], [0, 1, 1]])
def test_clicks_must_rise(clicks):
    with pytest.raises(InputError, match="3 scores"):
        area_under_clicks([1, 2, 3], clicks)


def score(slug, clicks, dice, fpv_ml=1.0, fnv_ml=2.0, **labels):
    base = {"case": slug.upper(), "slug": slug, "tracer": "fdg", "patient": "p", "centre": "UKT", "split": "train"}
    return {**base, "fold": "0", "clicks": clicks, "dice": dice, "fpv_ml": fpv_ml, "fnv_ml": fnv_ml, "f1": 1, **labels}


def test_rows_of_a_case_rise_and_keep_their_columns():
    rows = interactive_rows({10: score("a", 10, 0.9), 0: score("a", 0, 0.4), 2: score("a", 2, 0.5)})
    assert [row["clicks"] for row in rows] == [0, 2, 10]
    assert [row["dice"] for row in rows] == [0.4, 0.5, 0.9]
    assert set(rows[0]) == set(COLUMNS)


def test_table_of_all_cases():
    scores = [score("b", 1, None, 0, None), score("a", 1, 0.5), score("b", 0, None, 3, None), score("a", 0, 0.25)]
    table = interactive_table(scores)
    assert list(table.columns) == list(COLUMNS)
    assert table["slug"].tolist() == ["a", "a", "b", "b"]
    assert table["clicks"].tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(table["dice"], [0.25, 0.5, np.nan, np.nan])
    assert table["fpv_ml"].tolist() == [1, 1, 3, 0]
    areas = interactive_areas(table)
    assert areas["slug"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(areas["dice"], [0.5, np.nan])
    np.testing.assert_array_equal(areas["auc_dice"], [0.375, np.nan])
    assert areas["auc_fpv_ml"].tolist() == [1, 1.5]
    np.testing.assert_array_equal(areas["auc_fnv_ml"], [2, np.nan])


def test_areas_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    table = interactive_table([score(f"c{case}", k, rng.random()) for case in range(5) for k in range(11)])
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(interactive_areas(shuffled), interactive_areas(table))
    for row in interactive_areas(table).itertuples():
        curve = table.loc[table["slug"] == row.slug, "dice"]
        assert (row.auc_dice, row.dice) == pytest.approx((np.trapezoid(curve), curve.iloc[-1]))


def test_cases_must_have_the_same_steps_once():
    with pytest.raises(InputError, match="a: has 1 clicks twice"):
        interactive_table([score("a", 1, 0.5), score("a", 1, 0.5)])
    with pytest.raises(InputError, match=r"b: has scores at \[0\] clicks, a at \[0, 1\]"):
        interactive_table([score("a", 0, 0.5), score("a", 1, 0.5), score("b", 0, 0.5)])


def test_no_cases():
    table = interactive_table([])
    assert list(table.columns) == list(COLUMNS)
    assert check_steps(table) == []
    assert len(interactive_areas(table)) == 0
