import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.images import (
    Image,
    grid_text,
    read_image,
    resample,
    same_grid,
    turned_like,
    voxel_volume_ml,
    write_image,
)

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 3.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])


@pytest.fixture
def array():
    return np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_what_is_written_is_read(tmp_path, array, suffix):
    write_image(tmp_path / f"a{suffix}", array, AFFINE)
    image = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(image.array, array)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert image.spacing_mm == pytest.approx((2, 3, 4))


def test_the_same_array_gives_the_same_bytes(tmp_path, array):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, array, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_bool_is_written_as_uint8(tmp_path, array):
    write_image(tmp_path / "a.nii.gz", array > 0, AFFINE)
    image = read_image(tmp_path / "a.nii.gz")
    assert image.array.dtype == np.uint8
    np.testing.assert_array_equal(image.array, array > 0)


def test_slope_and_intercept_are_applied(tmp_path):
    file = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), AFFINE)
    file.header.set_slope_inter(0.5, -1)
    nib.save(file, tmp_path / "a.nii.gz")
    stored = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    image = read_image(tmp_path / "a.nii.gz")
    assert image.array.dtype == np.float32
    np.testing.assert_allclose(image.array, stored)


def _truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (_truncate, "cannot be read"),
        (lambda path: path.write_bytes(b"not an image"), "cannot be read"),
        (lambda path: path.write_bytes(gzip.compress(b"not an image" * 100)), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 3)), AFFINE), path), "axes"),
        (lambda path: nib.save(nib.Nifti1Image(np.zeros((2, 2)), AFFINE), path), "axes"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, array, damage, message):
    path = tmp_path / "a  b.nii.gz"
    write_image(path, array, AFFINE)
    damage(path)
    with pytest.raises(InputError, match=message) as error:
        read_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_grids_are_the_same_within_a_twentieth_of_a_voxel():
    moved = AFFINE.copy()
    moved[0, 3] += 0.09
    assert same_grid((5, 6, 7), AFFINE, (5, 6, 7), moved)
    moved[0, 3] += 0.02
    assert not same_grid((5, 6, 7), AFFINE, (5, 6, 7), moved)
    assert not same_grid((5, 6, 7), AFFINE, (5, 6, 8), AFFINE)


def test_resampling_onto_its_own_grid_changes_nothing(array):
    np.testing.assert_allclose(resample(Image(array, AFFINE), array.shape, AFFINE), array, atol=1e-6)


def test_linear_resampling_reproduces_a_linear_field():
    x, y, z = np.meshgrid(*map(np.arange, (8, 9, 10)), indexing="ij")
    world = np.einsum("ij,jxyz->ixyz", AFFINE[:3, :3], np.stack([x, y, z])) + AFFINE[:3, 3, None, None, None]
    field = world[0] + 2 * world[1] - world[2]
    finer = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    result = resample(Image(field.astype(np.float32), AFFINE), (13, 15, 17), finer)
    i, j, k = np.meshgrid(*map(np.arange, (13, 15, 17)), indexing="ij")
    world = np.einsum("ij,jxyz->ixyz", finer[:3, :3], np.stack([i, j, k])) + finer[:3, 3, None, None, None]
    np.testing.assert_allclose(result, world[0] + 2 * world[1] - world[2], atol=1e-4)


def test_outside_the_field_of_view_is_the_given_value(array):
    far = AFFINE.copy()
    far[:3, 3] += 1000
    assert np.all(resample(Image(array, AFFINE), (3, 3, 3), far, outside=-1024) == -1024)


def test_nearest_keeps_labels_and_type(array):
    labels = (array > 0).astype(np.uint8) * 7
    result = resample(Image(labels, AFFINE), (10, 12, 14), AFFINE @ np.diag([0.5, 0.5, 0.5, 1]), order="nearest")
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= {0, 7}


def test_voxel_volume():
    assert voxel_volume_ml(AFFINE) == pytest.approx(0.024)


def test_axes_without_an_order_are_left_and_named(array):
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    image = Image(array, flat)
    assert turned_like(image, AFFINE) is image
    assert "RA?" in grid_text(array.shape, flat)


# --- what is no file of an image, and numbers that do not fit ------------------------------------------------


def refused(path, **how):
    with pytest.raises(InputError) as caught:
        read_image(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.mha", "ct.nrrd"])
def test_a_folder_that_is_called_like_a_file(tmp_path, array, name):
    folder = tmp_path / name
    folder.mkdir()
    assert refused(folder) == f"{folder}: is a folder, not a file; give the file of the volume"
    write_image(folder / "volume.nii", array, AFFINE)
    assert refused(folder) == f"{folder}: is a folder, not a file; give the file in it (volume.nii)"


def test_hidden_files_of_a_mac(tmp_path, array):
    write_image(tmp_path / "ct.nii.gz", array, AFFINE)
    (tmp_path / "._ct.nii.gz").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert "is a hidden file of a Mac (AppleDouble), not an image; give ct.nii.gz" in refused(tmp_path / "._ct.nii.gz")


@pytest.mark.parametrize(
    "name", ["a" * 400 + ".nii.gz", "a\0b.nii.gz", "file/inside.nii.gz", "loop.nii.gz", "pipe.nii.gz"]
)
def test_paths_that_cannot_be_opened(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "loop.nii.gz").symlink_to("loop.nii.gz")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    assert "; " in refused(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a.hdr", "a.img", "a.gipl", "a.tif", "a.png", "a.txt", "a", "a.mgz", "a.vtk", "nii.gz"]
)
def test_formats_that_do_not_say_where_they_lie(tmp_path, name):
    (tmp_path / name).write_bytes(b"whatever")
    assert "cannot be read as an image: its name ends in none of .nii, .nii.gz" in refused(tmp_path / name)


@pytest.mark.parametrize("suffix", [".NII", ".Nii.Gz", ".MHA", ".NRRD"])
def test_capitals_in_suffixes(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix.lower()}"
    write_image(path, array, AFFINE)
    np.testing.assert_array_equal(read_image(path.rename(tmp_path / f"a{suffix}")).array, array)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [(300, np.uint8, "from 0 to 300"), (-1, np.uint8, "from -1 to 0"), (40000, np.int16, "from 0 to 40000"),
     (2**40, np.int32, "e+12"), (0.5, np.uint8, "from 0 to 0.5"), (np.nan, np.uint8, "nan"), (np.inf, np.int16, "inf"),
     (2, bool, "from 0 to 2")],
)  # fmt: skip
def test_integers_beyond_the_type_are_not_wrapped(tmp_path, value, dtype, text):
    array = np.zeros((3, 4, 5), np.float64 if isinstance(value, float) else np.int64)
    array[1, 1, 1] = value
    write_image(tmp_path / "a.mha", array, AFFINE)
    said = refused(tmp_path / "a.mha", dtype=dtype)
    assert text in said
    assert "not whole numbers from" in said


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (-32768, np.int16), (1, bool), (7, np.float32)])
def test_numbers_that_fit_are_cast(tmp_path, value, dtype):
    array = np.zeros((3, 4, 5), np.float64)
    array[1, 1, 1] = value
    write_image(tmp_path / "a.nii.gz", array, AFFINE)
    image = read_image(tmp_path / "a.nii.gz", dtype)
    assert image.array.dtype == dtype
    assert image.array[1, 1, 1] == value


@pytest.mark.parametrize("degrees", [0.4, 3, 12])
def test_resampling_of_a_grid_that_is_not_at_right_angles_is_true(degrees):
    """ITK would put it upright; values say where they lie, in mm along y."""
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.deg2rad(degrees))
    skewed = shear @ np.array([[2.0, 0, 0, -50], [0, 2, 0, -60], [0, 0, 5, -10], [0, 0, 0, 1]])
    y_mm = np.einsum("i,ixyz->xyz", skewed[1, :3], np.indices((60, 80, 30))) + skewed[1, 3]
    target = np.array([[-4.0, 0, 0, 40], [0, 4, 0, -20], [0, 0, 4, 10], [0, 0, 0, 1]])
    shape = (15, 12, 20)
    found = resample(Image(y_mm.astype(np.float32), skewed), shape, target, outside=np.nan)
    place = np.einsum("i,ixyz->xyz", target[1, :3], np.indices(shape)) + target[1, 3]
    assert np.isfinite(found).mean() > 0.9
    np.testing.assert_allclose(found[np.isfinite(found)], place[np.isfinite(found)], atol=1e-3)
