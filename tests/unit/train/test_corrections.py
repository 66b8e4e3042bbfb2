"""Corrections lie in one error, of its kind, where a person would put them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from clickpet.train.corrections import CODES, draw_correction

SHAPE = (20, 24, 18)


def errors_of(seed):
    rng = np.random.default_rng(seed)
    waves = gaussian_filter(rng.normal(size=SHAPE), 1.5)
    return np.select([waves > 0.12, waves < -0.12], [CODES["tumor"], CODES["background"]]).astype(np.uint8)


def component_of(errors, kind, point):
    labels, _ = label(errors == CODES[kind], np.ones((3, 3, 3)))
    return labels == labels[tuple(point)]


def slow_depth(component):
    """Distance of each voxel to the nearest voxel that is not in the component, by looking at all of them."""
    padded = np.pad(component, 1)
    outside = np.argwhere(~padded)
    depth = np.zeros(padded.shape)
    for voxel in np.argwhere(padded):
        depth[tuple(voxel)] = np.sqrt(((outside - voxel) ** 2).sum(1).min())
    return depth[1:-1, 1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(12))
def test_a_click_is_at_the_innermost_voxel_of_an_error(seed):
    errors = errors_of(seed)
    correction = draw_correction(errors, np.random.default_rng(seed))
    (point,) = correction.points
    component = component_of(errors, correction.kind, point)
    assert errors[tuple(point)] == CODES[correction.kind]
    depth = slow_depth(component)
    assert depth[tuple(point)] == pytest.approx(depth.max())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_a_scribble_lies_in_the_largest_slice_of_an_error(seed, axis):
    errors = errors_of(seed)
    correction = draw_correction(errors, np.random.default_rng(seed), scribbles=1.0, slice_axis=axis)
    points = correction.points
    component = component_of(errors, correction.kind, points[0])
    assert component[tuple(points.T)].all()
    (position,) = set(points[:, axis])
    largest = 0
    for index in range(SHAPE[axis]):
        labels, count = label(component.take(index, axis), np.ones((3, 3)))
        largest = max([largest, *(np.count_nonzero(labels == one) for one in range(1, count + 1))])
    flat = np.delete(points, axis, 1)
    labels, _ = label(component.take(position, axis), np.ones((3, 3)))
    (part,) = set(labels[tuple(flat.T)])
    assert np.count_nonzero(labels == part) == largest
    assert (np.abs(np.diff(flat, axis=0)).max(1, initial=0) <= 1).all()


def test_scribbles_come_in_all_three_ways_and_straight_in_large_errors():
    errors = np.zeros((3, 40, 60), np.uint8)
    errors[1, 10:30, 5:55] = CODES["tumor"]  # a rectangle: its centreline lies in the middle, its border at the edge
    rng = np.random.default_rng(0)
    edge = middle = 0
    for _ in range(60):
        points = draw_correction(errors, rng, scribbles=1.0).points
        edge += all(y in (10, 29) or x in (5, 54) for _, y, x in points.tolist())
        middle += all(18 <= y <= 21 for _, y, x in points.tolist())
    assert edge > 10
    assert middle > 10
    errors = np.full((1, 100, 100), CODES["background"], np.uint8)
    for _ in range(20):
        points = draw_correction(errors, rng, scribbles=1.0).points[:, 1:]
        along = points[-1] - points[0]
        away = np.abs((points - points[0]) @ [along[1], -along[0]]) / max(np.linalg.norm(along), 1)
        assert away.max() <= 1


def test_large_errors_come_more_often_and_both_kinds_alike():
    errors = np.zeros(SHAPE, np.uint8)
    errors[2:8, 2:8, 2:8] = CODES["tumor"]  # 216 voxels
    errors[12:15, 2:5, 2:5] = CODES["tumor"]  # 27 voxels
    errors[18, 20, 15] = CODES["background"]
    rng = np.random.default_rng(0)
    drawn = [draw_correction(errors, rng) for _ in range(300)]
    kinds = [one.kind for one in drawn]
    assert 115 < kinds.count("tumor") < 185
    small = sum(one.kind == "tumor" and one.points[0][0] >= 12 for one in drawn)
    assert 5 < small < 35  # an eighth of the tumour corrections
    assert {tuple(one.points[0]) for one in drawn if one.kind == "background"} == {(18, 20, 15)}


def test_the_share_of_scribbles():
    errors = np.full(SHAPE, CODES["background"], np.uint8)
    rng = np.random.default_rng(0)
    several = [len(draw_correction(errors, rng, scribbles=0.5).points) > 1 for _ in range(100)]
    assert 30 < sum(several) < 70


def test_no_error_needs_no_correction_and_the_same_numbers_make_the_same():
    assert draw_correction(np.zeros(SHAPE, np.uint8), np.random.default_rng(0)) is None
    one, other = (draw_correction(errors_of(1), np.random.default_rng(5), scribbles=0.5) for _ in range(2))
    assert one.kind == other.kind
    np.testing.assert_array_equal(one.points, other.points)
