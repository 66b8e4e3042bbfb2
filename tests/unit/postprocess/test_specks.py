"""Post-processing against a plain loop over components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jobs import run_script
from scipy import ndimage

from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.postprocess.specks import drop_faint_specks

ORDERS = (np.ascontiguousarray, np.asfortranarray)


def plain(mask, suv, min_voxels, min_suv_max):
    """The definition: every component by itself."""
    kept = mask != 0
    labels, count = ndimage.label(kept, np.ones((3, 3, 3)))
    for number in range(1, count + 1):
        component = labels == number
        if component.sum() < min_voxels and suv[component].max() < min_suv_max:
            kept[component] = False
    return kept


@settings(deadline=None)
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8),
    mask_type=st.sampled_from([bool, np.uint8, np.int16, np.float32]),
    suv_type=st.sampled_from([np.float32, np.float64, np.int16]),
    min_voxels=st.integers(0, 12),
    min_suv_max=st.sampled_from([0.0, 1.0, 3.3, 4.0, 5]),
    orders=st.tuples(st.sampled_from(ORDERS), st.sampled_from(ORDERS)),
)
def test_equals_a_loop_over_components(data, shape, mask_type, suv_type, min_voxels, min_suv_max, orders):
    mask = data.draw(hnp.arrays(bool, shape)).astype(mask_type)
    suv = data.draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, 11))).astype(suv_type)
    suv = suv if suv_type == np.int16 else suv * suv_type(0.55)  # 6 * 0.55 is the limit 3.3 but for rounding
    mask, suv = orders[0](mask), orders[1](suv)
    before = mask.copy()
    kept = drop_faint_specks(mask, suv, min_voxels=min_voxels, min_suv_max=min_suv_max)
    assert kept.dtype == bool
    np.testing.assert_array_equal(kept, plain(mask, suv, min_voxels, min_suv_max))
    np.testing.assert_array_equal(mask, before)
    assert not np.shares_memory(kept, mask)


def speck(voxels, suv_max, dtype=np.float32):
    """A line of voxels, the last but one the hottest."""
    mask, suv = np.zeros((3, 3, 20), bool), np.full((3, 3, 20), 50, dtype)
    mask[1, 1, 2 : 2 + voxels] = True
    suv[mask] = 1
    suv[1, 1, voxels] = suv_max
    return mask, suv


@pytest.mark.parametrize(
    ("voxels", "suv_max", "stays"),
    [(9, 3.9999, False), (10, 3.9999, True), (9, 4.0, True), (10, 4.0, True), (11, 1.0, True), (8, 9.0, True)],
)
def test_both_sides_of_both_limits(voxels, suv_max, stays):
    mask, suv = speck(voxels, suv_max)
    assert drop_faint_specks(mask, suv).sum() == (voxels if stays else 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_limit_that_is_not_a_binary_fraction_keeps_what_equals_it(dtype):
    mask, suv = speck(5, dtype(4.1), dtype)
    assert drop_faint_specks(mask, suv, min_suv_max=4.1).sum() == 5
    suv[suv == dtype(4.1)] = np.nextafter(dtype(4.1), dtype(0))
    assert drop_faint_specks(mask, suv, min_suv_max=4.1).sum() == 0


@pytest.mark.parametrize(("voxels", "stays"), [(19, False), (20, True), (9, False)])
def test_volume_instead_of_voxels(voxels, stays):
    mask, suv = np.zeros((30, 1, 1), np.uint8), np.ones((30, 1, 1))
    mask[3 : 3 + voxels] = 1
    kept = drop_faint_specks(mask, suv, min_voxels=1, min_volume_mm3=200, affine=np.diag([2.0, -2.5, 2.0, 1]))
    assert kept.sum() == (voxels if stays else 0)


def test_corner_neighbours_are_one_component():
    mask, suv = np.zeros((12, 12, 12), bool), np.ones((12, 12, 12))
    mask[range(10), range(10), range(10)] = True
    assert drop_faint_specks(mask, suv).sum() == 10
    mask[5, 5, 5] = False
    assert drop_faint_specks(mask, suv).sum() == 0


def test_empty_and_full_masks():
    suv = np.zeros((4, 5, 6), np.float32)
    assert not drop_faint_specks(np.zeros((4, 5, 6), np.uint8), suv).any()
    assert drop_faint_specks(np.ones((4, 5, 6), np.uint8), suv).all()
    assert drop_faint_specks(np.zeros((0, 5, 6), np.uint8), suv[:0]).shape == (0, 5, 6)


def test_a_component_with_an_unknown_suv_stays():
    mask, suv = speck(3, np.nan)
    assert drop_faint_specks(mask, suv).sum() == 3


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="differ in shape"):
        drop_faint_specks(np.ones((2, 3, 4)), np.ones((2, 3, 5)))
    with pytest.raises(InputError, match="min_volume_mm3 needs the grid of the mask; give its affine"):
        drop_faint_specks(np.ones((2, 3, 4)), np.ones((2, 3, 4)), min_volume_mm3=200)


def test_the_script_writes_a_mask_on_the_same_grid(tmp_path):
    affine = np.diag([-2.0, 2.5, 4.0, 1.0])
    mask, suv = np.zeros((9, 8, 7), np.uint8), np.ones((9, 8, 7), np.float32)
    mask[0, 0, 0], mask[3:6, 3:6, 3:6], mask[8, 7, 6] = 1, 1, 1
    suv[8, 7, 6] = 4
    write_image(tmp_path / "raw.nii.gz", mask, affine)
    write_image(tmp_path / "suv.nii.gz", suv, affine)
    params = {"postprocess": {"min_voxels": 10, "min_suv_max": 4, "min_volume_mm3": None}}
    files = {"mask": tmp_path / "raw.nii.gz", "suv": tmp_path / "suv.nii.gz"}
    output, log = {"mask": tmp_path / "lesions.nii.gz"}, tmp_path / "log"
    run_script("post_process_case", input=files, output=output, log=log, params=params)
    kept = read_image(tmp_path / "lesions.nii.gz")
    mask[0, 0, 0] = 0
    np.testing.assert_array_equal(kept.array, mask)
    assert kept.array.dtype == np.uint8
    np.testing.assert_allclose(kept.affine, affine)

    # a voxel has 20 mm³: the cube of 27 is below 541 mm³, but no longer below 540 mm³
    for limit, left in ((540, 28), (541, 1)):
        params = {"postprocess": {"min_volume_mm3": limit}}
        run_script("post_process_case", input=files, output=output, log=log, params=params)
        assert read_image(tmp_path / "lesions.nii.gz").array.sum() == left


def test_the_script_refuses_two_grids(tmp_path, capfd):
    write_image(tmp_path / "raw.nii.gz", np.ones((3, 3, 3), np.uint8), np.eye(4))
    write_image(tmp_path / "suv.nii.gz", np.ones((3, 3, 3), np.float32), np.diag([2.0, 1, 1, 1]))
    with pytest.raises(SystemExit):
        run_script(
            "post_process_case",
            input={"mask": tmp_path / "raw.nii.gz", "suv": tmp_path / "suv.nii.gz"},
            output={"mask": tmp_path / "lesions.nii.gz"},
            log=tmp_path / "log",
            params={"postprocess": {}},
        )
    assert "3x3x3 at 2.00x1.00x1.00 mm" in capfd.readouterr().err
    assert not (tmp_path / "lesions.nii.gz").exists()
