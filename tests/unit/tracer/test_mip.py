"""Projections against SimpleITK's resampling of the whole volume."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.tracer.mip import render_mip

#: Largest difference to SimpleITK, as a part of the largest SUV.
CLOSE = 1e-5
#: Not 2: beyond the last of two voxels SimpleITK takes a weight for a voxel that is not there (the sum is not 1).
LENGTHS = st.integers(1, 30).filter(lambda length: length != 2)
#: How autoPET stores its volumes.
LAS = np.diag([-1.0, 1.0, 1.0, 1.0])


def rendered_slowly(suv, spacing_mm, *, axis="coronal", spacing_out_mm=3.0, size=224):
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
        sitk.sitkBSpline,
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
        layout=st.sampled_from(["C", "F", "strided"]),
        seed=st.integers(0, 999),
    )
    @settings(max_examples=80, deadline=None)
    def test_released_array(self, shape, spacing_mm, spacing_out_mm, axis, size, dtype, layout, seed):
        suv = np.random.default_rng(seed).gamma(0.5, 4, shape).astype(dtype)
        suv = np.repeat(suv, 2, axis=2)[:, :, ::2] if layout == "strided" else np.array(suv, order=layout)
        options = {"axis": axis, "spacing_out_mm": spacing_out_mm, "size": size}
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


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"axis": "axial"}, "mip axis is 'axial'; use one of coronal, sagittal"),
        ({"compat": "old"}, "mip compat"),
        ({"size": 0}, "mip of 0 pixels"),
        ({"spacing_out_mm": 0.0}, "at 0.0 mm"),
    ],
)
def test_options_that_make_no_sense(options, what):
    with pytest.raises(InputError) as caught:
        render_mip(np.zeros((3, 3, 3)), np.eye(4), **options)
    assert what in str(caught.value)
