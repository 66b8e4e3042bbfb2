"""Planes on slices: grouping, typical gaps, and which plane a slice takes."""

import numpy as np
import pytest

from clickpet.dicom.planes import combine_planes, group_places, typical_gap

SHAPE = (12, 10, 20)


def square(x, y):
    shape = np.zeros(SHAPE[:2], bool)
    shape[x[0] : x[1], y[0] : y[1]] = True
    return shape


def slices_of(places, shapes, slice_mm=4.0):
    mask = combine_planes(places, lambda plane: shapes[plane], SHAPE, slice_mm)
    return mask, np.flatnonzero(mask.any(axis=(0, 1))).tolist()


@pytest.mark.parametrize("gap", [0.1, 0.4, 0.5, 1.0, 4.0])
def test_planes_drawn_closely_together_stay_apart(gap):
    assert group_places(np.arange(20) * gap) == [[index] for index in range(20)]


@pytest.mark.parametrize("off", [0.0, 0.004, 0.1, 0.25])
def test_places_that_differ_by_rounding_are_one_plane(off):
    places = [place + more for place in (0.0, 4.0, 8.0, 12.0) for more in (0.0, off)]
    assert group_places(places) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_groups_come_in_order_of_place():
    assert group_places([8.0, 0.0, 8.01, 4.0]) == [[1], [3], [0, 2]]
    assert group_places([3.0]) == [[0]]


@pytest.mark.parametrize(
    ("places", "slice_mm", "gap"),
    [
        ([0, 2, 4, 6], 4.0, 2),
        ([0, 2, 4, 4.1, 6, 8], 4.0, 2),  # a stray plane
        ([0, 2, 4, 14, 16, 18], 4.0, 2),  # two findings
        ([0, 20], 4.0, 1),  # no neighbours
        ([5], 4.0, 1),
        ([0, 0.1, 0.2], 4.0, 0.1),
    ],
)
def test_the_typical_gap(places, slice_mm, gap):
    assert typical_gap(places, slice_mm) == pytest.approx(gap)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([3, 4, 5], [3, 4, 5]),
        ([3.2, 4.2, 5.2], [3, 4, 5]),
        ([3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6], [3, 4]),
        ([2, 4, 6], [1, 2, 3, 4, 5, 6, 7]),
        ([3, 5, 9, 11], [2, 3, 4, 5, 6, 8, 9, 10, 11, 12]),
        ([3, 10], [3, 10]),
        ([-3, 25], []),
        ([], []),
    ],
)
def test_slices_of_planes(places, expected):
    _, got = slices_of(places, [square((2, 8), (2, 8))] * len(places))
    assert got == expected


def test_a_slice_takes_the_nearest_plane():
    shapes = [square((2, 4 + index), (2, 8)) for index in range(5)]
    mask, _ = slices_of([2.7, 2.9, 3.05, 3.2, 3.4], shapes)
    assert np.array_equal(mask[:, :, 3], shapes[2])


def test_findings_beside_each_other_do_not_hide_each_other():
    """Each on planes of its own within one slice; and a finding in the hole of a ring."""
    left, right = square((0, 3), (0, 3)), square((8, 11), (5, 9))
    mask, _ = slices_of([4.1, 4.3], [left, right])
    assert np.array_equal(mask[:, :, 4], left | right)
    ring = square((1, 9), (1, 9)) & ~square((2, 8), (2, 8))
    inner = square((4, 6), (4, 6))
    mask, _ = slices_of([4.1, 4.3], [ring, inner])
    assert np.array_equal(mask[:, :, 4], ring | inner)


def test_a_hole_of_the_nearest_plane_is_not_filled_by_the_next():
    full = square((1, 9), (1, 9))
    ring = full & ~square((3, 6), (3, 6))
    mask, _ = slices_of([4.0, 4.3], [ring, full])
    assert np.array_equal(mask[:, :, 4], ring)


def test_a_plane_without_pixels_hides_nothing():
    shape = square((2, 5), (2, 5))
    mask, got = slices_of([4.0, 4.2], [np.zeros_like(shape), shape])
    assert got == [4]
    assert np.array_equal(mask[:, :, 4], shape)
