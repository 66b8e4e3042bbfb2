"""Geometry of grids: corners in mm, right angles, texts that tell grids apart, turns of axes."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.geometry import (
    CANONICAL,
    Turn,
    corner_distance_mm,
    grid_text,
    grid_texts,
    orientation,
    orthogonal,
    refuse_skewed,
    same_grid,
    skew_mm,
    spacing_mm,
)

SHAPE = (5, 6, 7)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 3.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])
CODES = ["".join(code) for pairs in permutations(("LR", "PA", "IS")) for code in product(*pairs)]


def rotated(degrees, axis=0):
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    a, b = [other for other in range(3) if other != axis]
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    return turn @ AFFINE


def sheared(degrees, of=1, along=2):
    shear = np.eye(4)
    shear[of, along] = np.tan(np.deg2rad(degrees))
    return shear @ AFFINE


def test_a_tilt_is_measured_at_the_corners():
    """Half a degree hardly changes the affine's entries, and moves the end of a metre by 8.7 mm."""
    shape = (1, 1, 251)
    assert corner_distance_mm(shape, AFFINE, rotated(0.5)) == pytest.approx(8.73, abs=0.2)
    assert not same_grid(shape, AFFINE, shape, rotated(0.5))
    assert not same_grid(shape, AFFINE, shape, rotated(0.02))
    assert same_grid(shape, AFFINE, shape, rotated(0.001))
    assert same_grid((1, 1, 9), AFFINE, (1, 1, 9), rotated(0.02))


@pytest.mark.parametrize(("of", "along"), [(0, 1), (1, 0), (0, 2), (1, 2), (2, 0), (2, 1)])
@pytest.mark.parametrize("degrees", [12, -12, 1, 0.5])
def test_sheared_axes_are_refused(degrees, of, along):
    with pytest.raises(InputError, match=r"a\.nii: its axes are not at right angles \(sheared: .* mm off\); resample"):
        refuse_skewed((100, 100, 100), sheared(degrees, of, along), where="a.nii")


def test_how_far_a_shear_is_off_is_told():
    affine = np.array([[4.0, 0, 0, 0], [0, 4, 5 * np.tan(np.deg2rad(12)), 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    with pytest.raises(InputError, match=r"sheared: 78 degrees, voxels up to 17 mm off"):
        refuse_skewed((60, 60, 40), affine)


@pytest.mark.parametrize("degrees", [0, 0.5, 12, 45, 89])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rotated_axes_and_those_of_float32_are_right(degrees, axis):
    affine = rotated(degrees, axis).astype(np.float32).astype(float)
    refuse_skewed((400, 400, 1000), affine)
    assert skew_mm((400, 400, 1000), affine) < 1e-3
    np.testing.assert_allclose(orthogonal(SHAPE, affine), affine, atol=1e-5)


def test_what_orthogonal_keeps():
    near = orthogonal(SHAPE, sheared(12))
    assert spacing_mm(near) == pytest.approx(spacing_mm(sheared(12)))
    centre = [*((np.array(SHAPE) - 1) / 2), 1]
    np.testing.assert_allclose(near @ centre, sheared(12) @ centre)
    directions = near[:3, :3] / spacing_mm(near)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "other",
    [
        AFFINE @ np.diag([1.00025, 1, 1, 1]),
        AFFINE @ np.diag([1, 1, 1 + 1e-6, 1]),
        AFFINE + np.array([0, 0, 0, 0.004]) * np.eye(4)[:, [2, 2, 2, 2]],
        rotated(0.01),
        rotated(0.001, axis=2),
    ],
)
def test_texts_of_grids_that_print_the_same_tell_the_difference(other):
    assert grid_text(SHAPE, AFFINE) == grid_text(SHAPE, other)
    own, wanted = grid_texts(SHAPE, AFFINE, SHAPE, other)
    off_mm = corner_distance_mm(SHAPE, AFFINE, other)
    assert own != wanted
    assert f"a corner {off_mm:.3g} mm off" in own


def test_texts_of_grids_that_differ_plainly_stay_short():
    texts = grid_texts(SHAPE, AFFINE, (5, 6, 8), AFFINE)
    assert texts == (grid_text(SHAPE, AFFINE), grid_text((5, 6, 8), AFFINE))
    assert texts[0] == "5x6x7 at 2.00x3.00x4.00 mm, LAS, first voxel at (30.0, -20.0, 5.0) mm"


@pytest.mark.parametrize("codes", CODES)
def test_a_turn_there_and_back(codes):
    """All 48 orders and directions of axes; places stay."""
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    turn = Turn.between(AFFINE, codes)
    turned, affine = turn.array(array), turn.affine(SHAPE, AFFINE)
    assert orientation(affine) == codes
    assert np.shares_memory(turned, array)
    np.testing.assert_array_equal(turn.back(turned), array)
    for voxel in ((0, 0, 0), (4, 1, 6), (2, 5, 3)):
        [place] = np.argwhere(turned == array[voxel])
        np.testing.assert_allclose(affine @ [*place, 1], AFFINE @ [*voxel, 1])
    again = Turn.between(affine)
    np.testing.assert_array_equal(again.array(turned), array)
    np.testing.assert_allclose(again.affine(turned.shape, affine), AFFINE)
    expected = nib.Nifti1Image(array.astype(np.int32), AFFINE).as_reoriented(turn.steps)
    np.testing.assert_array_equal(turned, np.asanyarray(expected.dataobj))


@pytest.mark.parametrize("degrees", [0, 3, -20, 44])
def test_tilted_axes_count_as_the_nearest(degrees):
    turn = Turn.between(rotated(degrees))
    array = np.zeros(SHAPE)
    assert turn.array(array).shape == SHAPE
    assert orientation(turn.affine(SHAPE, rotated(degrees))) == CANONICAL
    np.testing.assert_array_equal(turn.affine(SHAPE, rotated(degrees)), rotated(degrees))
