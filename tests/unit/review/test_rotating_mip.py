"""Projections around the body's axis against a plain loop over voxels."""

import numpy as np
import pytest

from clickpet.review.rotating_mip import RotatingMip

SPACINGS = {"small": (2.0, 2.0, 3.0), "large": (6.5, 6.5, 8.0), "uneven": (4.0, 2.0, 5.0)}


@pytest.fixture(params=SPACINGS)
def geometry(request):
    return RotatingMip((13, 11, 9), SPACINGS[request.param], turns=8)


def plain(geometry, volume):
    """Every voxel onto its pixel, one at a time."""
    mip = np.full(geometry.mip_shape, volume.min(), volume.dtype)
    for index in np.ndindex(volume.shape):
        pooled = [place // count for place, count in zip(index, geometry.pool, strict=True)]
        for turn in range(geometry.turns):
            across = geometry.column(np.array(pooled[0]), np.array(pooled[1]), turn)
            mip[across, turn, pooled[2]] = max(mip[across, turn, pooled[2]], volume[index])
    return mip


def body(seed=0):
    """A volume with air around a body."""
    volume = np.zeros((13, 11, 9), np.float32)
    volume[2:11, 2:9, 1:8] = np.random.default_rng(seed).gamma(1, 2, (9, 7, 7))
    return volume


def test_projections_are_those_of_a_plain_loop(geometry):
    np.testing.assert_array_equal(geometry.project(body()), plain(geometry, body()))


def test_every_voxel_falls_inside_the_picture(geometry):
    ones = np.ones(geometry.shape, np.uint8)
    assert geometry.project(ones).max(axis=0).sum() == geometry.turns * geometry.mip_shape[2]
    assert geometry.project_voxels(np.argwhere(ones))[[0, -1]].sum() == 0


def test_a_solid_body_has_no_gaps_from_any_side(geometry):
    mip = geometry.project_voxels(np.argwhere(np.ones(geometry.shape)))
    for turn in range(geometry.turns):
        inside = np.flatnonzero(mip[:, turn, 0])
        assert inside.size == inside[-1] - inside[0] + 1


def test_the_first_looks_from_the_front_and_the_quarter_turn_from_the_side():
    geometry = RotatingMip((9, 9, 3), (6.0, 6.0, 6.0), turns=4)
    volume = np.zeros((9, 9, 3))
    volume[7, 2, 1] = 5
    mip, middle = geometry.project(volume), geometry.across // 2
    assert [np.argwhere(mip[:, turn]).tolist() for turn in range(4)] == [
        [[middle + 3, 1]],
        [[middle - 2, 1]],
        [[middle - 3, 1]],
        [[middle + 2, 1]],
    ]


def test_a_mask_projects_as_a_volume_does(geometry):
    mask = (body() > 3).astype(np.uint8)
    np.testing.assert_array_equal(geometry.project_voxels(np.argwhere(mask)), geometry.project(mask))
    assert not geometry.project_voxels(np.zeros((0, 3), int)).any()


def test_a_pixel_leads_back_to_its_hottest_voxel(geometry):
    volume = body(3)
    mip = geometry.project(volume)
    for across, turn, up in np.argwhere(mip > 6)[::7]:
        voxel = geometry.voxel_at(volume, across, turn, up)
        assert volume[voxel] == mip[across, turn, up]
    assert geometry.voxel_at(volume, 0, 0, 0) is None


def test_a_volume_of_air_is_air(geometry):
    assert not geometry.project(np.zeros(geometry.shape, np.float32)).any()
