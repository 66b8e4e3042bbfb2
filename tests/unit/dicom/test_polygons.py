"""Polygons: filling against the definition, holes, keyholes, overlap and repetition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickpet.dicom.polygons import contains, crossing, distances_mm, fill_polygons, same_outline


def inside(polygons, x, y):
    """Even-odd rule for one point, straight from the definition: count the edges to its left."""
    crossed = 0
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
                crossed += 1
    return crossed % 2 == 1


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(3, 9))
def test_filling_agrees_with_the_definition(seed, polygons, points):
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(-3, 13, (points, 2)) for _ in range(polygons)]
    got = fill_polygons(drawn, (10, 8))
    expected = [[inside(drawn, x, y) for y in range(8)] for x in range(10)]
    assert np.array_equal(got, expected)


def test_neighbours_share_no_pixel_and_leave_none():
    left = np.array([[0, 0], [4, 0], [4, 6], [0, 6]], float)
    right = left + np.array([4, 0])
    one, other = (fill_polygons([polygon], (10, 8)) for polygon in (left, right))
    assert not (one & other).any()
    assert (one | other)[0:8, 0:6].all()
    assert (one.sum(), other.sum()) == (24, 24)


def test_hole_and_keyhole():
    outer = np.array([[-0.5, -0.5], [9.5, -0.5], [9.5, 7.5], [-0.5, 7.5]])
    inner = np.array([[2.5, 1.5], [6.5, 1.5], [6.5, 5.5], [2.5, 5.5]])
    ring = fill_polygons([outer, inner], (10, 8))
    assert ring.sum() == 80 - 16
    keyhole = np.vstack([outer, outer[:1], inner, inner[:1]])
    assert np.array_equal(fill_polygons([keyhole], (10, 8)), ring)


# --- Outlines in mm


def disc(radius=20.0, x=0.0, y=0.0, points=60):
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])


def box(x0, y0, x1, y1):
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


@given(st.integers(0, 10**6), st.integers(3, 9))
def test_points_inside_agree_with_the_definition(seed, points):
    rng = np.random.default_rng(seed)
    polygon, places = rng.uniform(-3, 13, (points, 2)), rng.uniform(-3, 13, (20, 2))
    assert contains(polygon, places).tolist() == [inside([polygon], *place) for place in places]


def test_distances_to_an_outline():
    square = box(0, 0, 10, 10)
    assert distances_mm(np.array([[5, 5], [5, -3], [13, 14], [0, 0]], float), square) == pytest.approx([5, 3, 5, 0])


@pytest.mark.parametrize(
    "other",
    [disc(), disc()[::-1], np.roll(disc(), 7, axis=0), disc() + 0.1, disc(points=200), disc(radius=20.3)],
    ids=["itself", "backwards", "another first point", "0.1 mm beside", "more points", "0.3 mm larger"],
)
def test_one_outline_stored_twice(other):
    assert same_outline(disc(), other)


@pytest.mark.parametrize(
    "other",
    [disc(radius=19), disc() + 1.0, disc(x=45), box(-20, -20, 20, 20), disc()[:31]],
    ids=["a hole 1 mm inside", "1 mm beside", "elsewhere", "its box", "its half"],
)
def test_other_outlines(other):
    assert not same_outline(disc(), other)


@pytest.mark.parametrize(
    ("other", "crosses"),
    [
        (disc(x=15), True),
        (box(-30, -5, 30, 5), True),  # a cross: no corner of either lies in the other
        (box(0, 0, 50, 50), True),
        (disc(radius=10), False),  # a hole
        (disc(radius=60), False),
        (disc(x=45), False),
        (box(20, -20, 40, 20), False),  # touches
        (disc(radius=20.3), False),  # the same within the limit
    ],
)
def test_overlap_in_part(other, crosses):
    assert crossing(disc(), other) == crossing(other, disc()) == crosses
