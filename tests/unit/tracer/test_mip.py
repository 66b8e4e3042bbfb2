"""Projections against SimpleITK's resampling of the whole volume."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.tracer.mip import mip_positions, project_mask, render_mip, save_mip_png

#: Largest difference to SimpleITK, as a part of the largest SUV.
CLOSE = 1e-5
#: Not 2: beyond the last of two voxels SimpleITK takes a weight for a voxel that is not there (the sum is not 1).
LENGTHS = st.integers(1, 30).filter(lambda length: length != 2)
#: How autoPET stores its volumes.
LAS = np.diag([-1.0, 1.0, 1.0, 1.0])


def rendered_slowly(suv, spacing_mm, *, axis="coronal", spacing_out_mm=3.0, size=224, method="bspline"):
    """The released tracer code's steps on a LAS volume (x, y, z), with 0 outside; feet first, padded at the end."""
    image = sitk.GetImageFromArray(suv.T.astype(np.float32))
    image.SetSpacing([float(edge) for edge in spacing_mm])
    lengths = [
        max(1, int(np.round(n * (edge / spacing_out_mm)))) for n, edge in zip(suv.shape, spacing_mm, strict=True)
    ]
    resampled = sitk.Resample(
        image,
        lengths,
        sitk.Transform(),
        sitk.sitkBSpline if method == "bspline" else sitk.sitkLinear,
        image.GetOrigin(),
        [spacing_out_mm] * 3,
        image.GetDirection(),
        0.0,
    )
    mip = sitk.GetArrayFromImage(resampled).max(axis=1 if axis == "coronal" else 2)
    start = np.maximum(np.array(mip.shape) // 2 - size // 2, 0)
    return mip[start[0] : start[0] + size, start[1] : start[1] + size]


def affine_of(spacing_mm):
    affine = LAS @ np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [180.0, -200.0, -950.0]
    return affine


def stored_as(codes, array, affine):
    """The same volume in another orientation."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(codes)
    )
    image = nib.Nifti1Image(array, affine).as_reoriented(turn)
    return np.asarray(image.dataobj), image.affine


class TestAgainstSimpleITK:
    @given(
        shape=st.tuples(LENGTHS, LENGTHS, LENGTHS),
        spacing_mm=st.tuples(*[st.sampled_from([1.0, 1.7, 2.03642, 3.0, 4.07283, 5.0])] * 3),
        spacing_out_mm=st.sampled_from([2.0, 3.0, 4.0]),
        axis=st.sampled_from(["coronal", "sagittal"]),
        size=st.sampled_from([7, 16, 64]),
        dtype=st.sampled_from(["float16", "float32", "float64", "int16", "uint8"]),
        method=st.sampled_from(["bspline", "linear"]),
        layout=st.sampled_from(["C", "F", "strided"]),
        seed=st.integers(0, 999),
    )
    @settings(max_examples=80, deadline=None)
    def test_released_array(self, shape, spacing_mm, spacing_out_mm, axis, size, dtype, method, layout, seed):
        suv = np.random.default_rng(seed).gamma(0.5, 4, shape).astype(dtype)
        suv = np.repeat(suv, 2, axis=2)[:, :, ::2] if layout == "strided" else np.array(suv, order=layout)
        options = {"axis": axis, "spacing_out_mm": spacing_out_mm, "size": size, "method": method}
        mip = render_mip(suv, affine_of(spacing_mm), compat="released", **options)
        expected = rendered_slowly(suv, spacing_mm, **options)
        assert mip.dtype == np.float32
        assert mip.shape == (size, size)
        rows, columns = expected.shape
        assert not mip[rows:].any()
        assert not mip[:, columns:].any()
        assert np.abs(mip[:rows, :columns] - expected).max() <= CLOSE * max(1, suv.max())

    @pytest.mark.parametrize("axis", ["coronal", "sagittal"])
    @pytest.mark.parametrize(
        ("shape", "spacing_mm"),
        [((251, 19, 260), (3.7, 4.0, 3.0)), ((17, 90, 270), (4.07283, 4.07283, 3.27)), ((60, 70, 80), (3, 3, 3))],
    )
    def test_paper_size(self, shape, spacing_mm, axis):
        suv = np.random.default_rng(1).gamma(0.5, 4, shape).astype(np.float32)
        mip = render_mip(suv, affine_of(spacing_mm), axis=axis, compat="released")
        expected = rendered_slowly(suv, spacing_mm, axis=axis)
        assert np.abs(mip[: expected.shape[0], : expected.shape[1]] - expected).max() <= CLOSE * suv.max()

    def test_real_pet(self, shared_data):
        file = nib.load(shared_data / "sts_nifti" / "STS_001" / "PET_image.nii.gz")
        suv, affine = stored_as("LAS", np.asarray(file.dataobj), file.affine)
        mip = render_mip(np.asarray(file.dataobj), file.affine, compat="released")
        expected = rendered_slowly(suv, np.linalg.norm(affine[:3, :3], axis=0))
        assert np.abs(mip[: expected.shape[0], : expected.shape[1]] - expected).max() <= CLOSE * suv.max()


def points_volume(shape=(41, 33, 61)):
    """A volume with one bright voxel at the patient's left, front and top."""
    suv = np.zeros(shape, np.float32)
    suv[36, 30, 55] = 9
    return suv


class TestOrientation:
    @pytest.mark.parametrize("codes", ["LAS", "RAS", "LPS", "RPI", "SAL", "PIR", "ALS"])
    @pytest.mark.parametrize("axis", ["coronal", "sagittal"])
    def test_same_picture_however_it_is_stored(self, codes, axis):
        suv = np.random.default_rng(2).gamma(0.5, 4, (31, 23, 41)).astype(np.float32)
        affine = affine_of((4.0, 4.0, 5.0))
        expected = render_mip(suv, affine, axis=axis, size=64)
        stored, stored_affine = stored_as(codes, suv, affine)
        assert np.allclose(render_mip(stored, stored_affine, axis=axis, size=64), expected, atol=1e-4)

    def test_head_up_and_right_on_the_left(self):
        mip = render_mip(points_volume(), affine_of((3.0, 3.0, 3.0)), size=80)
        row, column = np.unravel_index(mip.argmax(), mip.shape)
        # 61 slices in 80 rows: 9 rows below, 10 above; 41 columns: 19 on the left, 20 on the right
        assert (row, column) == (79 - (55 + 9), 36 + 19)

    def test_sagittal_shows_the_front_on_the_left(self):
        mip = render_mip(points_volume(), affine_of((3.0, 3.0, 3.0)), axis="sagittal", size=80)
        row, column = np.unravel_index(mip.argmax(), mip.shape)
        assert (row, column) == (79 - (55 + 9), 79 - (30 + 23))

    def test_released_lies_on_its_head_in_the_corner(self):
        mip = render_mip(points_volume(), affine_of((3.0, 3.0, 3.0)), size=80, compat="released")
        assert np.unravel_index(mip.argmax(), mip.shape) == (55, 36)

    def test_voxels_at_three_millimetres_are_kept(self):
        suv = np.random.default_rng(0).random((20, 25, 30), np.float32)
        mip = render_mip(suv, affine_of((3.0, 3.0, 3.0)), size=30)
        assert np.allclose(mip[:, 5:25], suv.max(axis=1).T[::-1], atol=1e-6)

    def test_crop_is_centred(self):
        suv = np.random.default_rng(0).random((40, 10, 50), np.float32)
        mip = render_mip(suv, affine_of((3.0, 3.0, 3.0)), size=20)
        assert np.allclose(mip, suv.max(axis=1)[10:30, 15:35].T[::-1], atol=1e-6)

    def test_input_is_left_alone(self):
        suv = points_volume()
        render_mip(suv, affine_of((4.0, 4.0, 5.0)))
        assert np.array_equal(suv, points_volume())


class TestOverlays:
    @pytest.mark.parametrize("axis", ["coronal", "sagittal"])
    @pytest.mark.parametrize("codes", ["LAS", "RPS", "SAL"])
    @pytest.mark.parametrize("size", [224, 40])
    def test_positions_find_the_bright_voxel(self, axis, codes, size):
        suv, affine = stored_as(codes, points_volume(), affine_of((6.0, 6.0, 3.0)))
        voxel = np.argwhere(suv)
        mip = render_mip(suv, affine, axis=axis, size=size)
        ((row, column),) = mip_positions(voxel, suv.shape, affine, axis=axis, size=size)
        inside = 0 <= row < size and 0 <= column < size
        assert inside == (size == 224)
        if inside:
            assert np.unravel_index(mip.argmax(), mip.shape) == (row, column)

    def test_no_positions(self):
        assert mip_positions([], (5, 5, 5), np.eye(4)).shape == (0, 2)

    @pytest.mark.parametrize("axis", ["coronal", "sagittal"])
    @pytest.mark.parametrize("codes", ["LAS", "RPS", "ALS"])
    def test_mask_lies_where_the_uptake_is(self, axis, codes):
        suv = np.zeros((40, 40, 60), np.float32)
        suv[8:17, 20:33, 30:44] = 5
        suv, affine = stored_as(codes, suv, affine_of((4.07, 4.07, 5.0)))
        shadow = project_mask(suv > 0, affine, axis=axis)
        mip = render_mip(suv, affine, axis=axis, method="linear")
        assert shadow.dtype == bool
        assert np.array_equal(shadow, mip > 2.5) or (shadow ^ (mip > 2.5)).sum() < 0.03 * shadow.sum()

    def test_empty_mask(self):
        assert not project_mask(np.zeros((9, 9, 9), bool), np.eye(4)).any()


class TestPicture:
    def test_grey_levels(self, tmp_path):
        from PIL import Image

        coronal, sagittal = np.zeros((50, 50), np.float32), np.zeros((50, 50), np.float32)
        coronal[30:40, 10:20] = 25
        sagittal[30:40, 30:40] = 5
        save_mip_png(tmp_path / "mip.png", coronal, sagittal, suv_max=10)
        picture = np.asarray(Image.open(tmp_path / "mip.png"))
        assert picture.shape == (100, 208, 3)
        assert picture[70, 30].tolist() == [0, 0, 0]
        assert picture[70, 108 + 70].tolist() == [127, 127, 127]
        assert picture[90, 90].tolist() == [255, 255, 255]

    def test_overlays(self, tmp_path):
        from PIL import Image

        blank = np.zeros((50, 50), np.float32)
        mask = np.zeros((50, 50), bool)
        mask[20:30, 20:30] = True
        nothing = np.zeros((0, 2))
        save_mip_png(
            tmp_path / "mip.png",
            blank,
            blank,
            truth=(mask, mask & False),
            tumor_clicks=(np.array([[40.0, 40.0]]), nothing),
            background_clicks=(nothing, np.array([[40.0, 10.0]])),
        )
        picture = np.asarray(Image.open(tmp_path / "mip.png"))
        assert picture[40, 45].tolist() == [0, 158, 115]  # outline
        assert picture[50, 50].tolist() == [255, 255, 255]  # not filled
        assert picture[81, 84].tolist() == picture[84, 81].tolist() == [230, 0, 0]  # plus
        assert picture[81, 108 + 24].tolist() == [0, 90, 200]  # minus
        assert picture[84, 108 + 21].tolist() == [255, 255, 255]

    def test_same_bytes_every_time(self, tmp_path):
        suv = np.random.default_rng(0).random((50, 50), np.float32) * 9
        for name in "ab":
            save_mip_png(tmp_path / f"{name}.png", suv, suv)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_window_must_be_positive(self, tmp_path):
        with pytest.raises(InputError, match="suv_max is 0"):
            save_mip_png(tmp_path / "mip.png", np.zeros((5, 5)), np.zeros((5, 5)), suv_max=0)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"axis": "axial"}, "mip axis is 'axial'; use one of coronal, sagittal"),
        ({"method": "nearest"}, "mip method"),
        ({"compat": "old"}, "mip compat"),
        ({"size": 0}, "mip of 0 pixels"),
        ({"spacing_out_mm": 0.0}, "at 0.0 mm"),
    ],
)
def test_options_that_make_no_sense(options, what):
    with pytest.raises(InputError) as caught:
        render_mip(np.zeros((3, 3, 3)), np.eye(4), **options)
    assert what in str(caught.value)
