"""What the viewer is sent: the same volumes with their axes turned, and voxels that find their way back."""

import base64
import zlib

import nibabel as nib
import numpy as np
import pytest

from clickpet.review.viewer_grid import ViewerGrid, hu_nifti, packed, suv_nifti

AFFINES = {
    "RAS": np.diag([2.0, 3.0, 4.0, 1]),
    "LAS": np.array([[-2.0, 0, 0, 50], [0, 3, 0, -20], [0, 0, 4, 7], [0, 0, 0, 1]]),
    "PSR": np.array([[0.0, 0, 2, 5], [-3, 0, 0, 1], [0, 4, 0, -9], [0, 0, 0, 1]]),
    "tilted": np.array([[1.9, 0.6, 0, 5], [-0.4, 2.85, 0, 1], [0, 0, -4, -9], [0, 0, 0, 1]]),
}
SHAPE = (5, 6, 7)


@pytest.fixture(params=AFFINES)
def affine(request):
    return AFFINES[request.param]


def read(content):
    return nib.Nifti1Image.from_bytes(content)


def test_axes_run_to_right_anterior_superior_and_no_voxel_moves(affine):
    grid = ViewerGrid.of(SHAPE, affine)
    assert nib.aff2axcodes(grid.affine) == ("R", "A", "S")
    points = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
    there = grid.to_viewer(points)
    assert there.min() == 0
    assert tuple(there.max(axis=0) + 1) == grid.shape
    np.testing.assert_array_equal(grid.to_pet(there), points)
    np.testing.assert_allclose(nib.affines.apply_affine(grid.affine, there), nib.affines.apply_affine(affine, points))


def test_volumes_keep_the_value_of_every_voxel(affine):
    grid = ViewerGrid.of(SHAPE, affine)
    array = np.random.default_rng(0).permutation(5 * 6 * 7).reshape(SHAPE)
    turned = grid.volume(array)
    assert turned.shape == grid.shape
    for point in ([0, 0, 0], [4, 5, 6], [1, 2, 3], [3, 0, 5]):
        assert turned[tuple(grid.to_viewer([point])[0])] == array[tuple(point)]


def test_a_box_of_the_pet_is_the_same_voxels_in_the_viewer(affine):
    grid, mask = ViewerGrid.of(SHAPE, affine), np.zeros(SHAPE, np.uint8)
    box = (slice(1, 4), slice(0, 2), slice(5, 7))
    mask[box] = 1
    turned = grid.volume(mask)
    there = grid.box_to_viewer(box)
    assert turned[there].all()
    assert turned[there].size == mask.sum()


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_voxels_of_a_mask_are_those_of_its_volume(affine, order):
    grid = ViewerGrid.of(SHAPE, affine)
    mask = np.asarray(np.random.default_rng(3).random(SHAPE) > 0.8, np.uint8, order=order)
    found, expected = grid.voxels(mask), np.argwhere(grid.volume(mask))
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))
    assert grid.voxels(np.zeros(SHAPE, np.uint8)).shape == (0, 3)


def test_the_ct_is_whole_hu_and_what_no_int16_holds_is_cut(affine):
    ct = np.full(SHAPE, -1000.4, np.float32)
    ct[1, 2, 3], ct[0, 0, 0], ct[2, 2, 2] = 40.6, 70000, -70000
    grid = ViewerGrid.of(SHAPE, affine)
    image = read(hu_nifti(ct, grid))
    np.testing.assert_allclose(image.affine, grid.affine, atol=1e-5)
    found = np.asarray(image.dataobj)
    for point, hu in (([1, 2, 3], 41), ([4, 4, 4], -1000), ([0, 0, 0], 32767), ([2, 2, 2], -32768)):
        assert found[tuple(grid.to_viewer([point])[0])] == hu


def test_the_pet_is_right_to_a_part_in_32767_of_its_highest(affine):
    suv = np.random.default_rng(1).gamma(1, 3, SHAPE).astype(np.float32)
    suv[0, 0, 0] = 150
    grid = ViewerGrid.of(SHAPE, affine)
    image = read(suv_nifti(suv, grid))
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.get_fdata(), grid.volume(suv), atol=150 / 32767 / 2 * 1.01)


def test_an_empty_pet_stays_empty():
    assert not read(suv_nifti(np.zeros(SHAPE, np.float32), ViewerGrid.of(SHAPE, AFFINES["RAS"]))).get_fdata().any()


@pytest.mark.parametrize("box", [None, (slice(1, 3), slice(2, 6), slice(0, 7))])
def test_packed_masks_hold_a_box_with_x_fastest(box):
    mask = (np.random.default_rng(2).random(SHAPE) > 0.5).astype(np.uint8)
    sent = packed(mask, box)
    values = np.frombuffer(zlib.decompress(base64.b64decode(sent["zlib"])), np.uint8)
    where = tuple(slice(*side) for side in sent["box"])
    assert where == (box or tuple(slice(0, n) for n in SHAPE))
    np.testing.assert_array_equal(values.reshape(mask[where].shape, order="F"), mask[where])
