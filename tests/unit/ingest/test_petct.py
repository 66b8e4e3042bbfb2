"""CT and PET of a study on one grid, in memory."""

import warnings

import numpy as np
import pytest
from dicom_maker import expected_suv_factor, write_rtstruct, write_series

from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.ingest.petct import PetCt, read_label, read_study
from clickpet.ingest.study import OUTSIDE_HU

#: Oblique, and not exact in single precision.
AFFINE = np.array([[-2.0, 0.1, 0, 90.1], [0.1, 2.0, 0, -80.3], [0, 0, 3.0, 1e-3 / 3], [0, 0, 0, 1]])
SHAPE = (8, 9, 10)


def arrays(shape=SHAPE):
    rng = np.random.default_rng(0)
    return rng.uniform(-1000, 1000, shape), rng.uniform(0, 9, shape)


@pytest.fixture
def files(tmp_path):
    """CT (coarser, turned) and PET of one study, and a mask on the PET's grid."""
    ct, suv = arrays()
    write_image(tmp_path / "ct.nii.gz", ct[:5, :6, :7].astype(np.float32), AFFINE @ np.diag([1.5, 1.5, 1.5, 1]))
    write_image(tmp_path / "pet.mha", suv.astype(np.float32), AFFINE)
    write_image(tmp_path / "mask.nii.gz", suv > 7, AFFINE)
    return tmp_path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_and_affine_are_those_that_the_workflows_files_would_hold(tmp_path, dtype, order):
    ct, suv = (array.astype(dtype, order=order) for array in arrays())
    study = PetCt(ct=ct, suv=suv, affine=AFFINE)
    for name, array in (("ct", ct), ("suv", suv)):
        write_image(tmp_path / "file.nii.gz", array.astype(np.float32), AFFINE)
        written = read_image(tmp_path / "file.nii.gz")
        held = getattr(study, name)
        assert held.dtype == np.float32
        assert held.flags.f_contiguous == written.array.flags.f_contiguous
        np.testing.assert_array_equal(held, written.array)
        np.testing.assert_array_equal(study.affine, written.affine)
    assert study.shape == SHAPE
    np.testing.assert_allclose(study.spacing_mm, (2.0025, 2.0025, 3.0), atol=1e-4)


def test_float32_in_fortran_order_is_not_copied():
    ct, suv = (np.asfortranarray(array, np.float32) for array in arrays())
    study = PetCt(ct=ct, suv=suv, affine=AFFINE)
    assert np.shares_memory(study.ct, ct)
    assert np.shares_memory(study.suv, suv)


def test_ct_and_pet_cannot_be_given_in_the_wrong_order():
    with pytest.raises(TypeError):
        PetCt(*arrays(), AFFINE)
    with pytest.raises(TypeError):
        read_study("ct.nii.gz", "pet.nii.gz")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ct": np.zeros((8, 9, 11))}, "are not 3-D arrays of one shape"),
        ({"ct": np.zeros(SHAPE[:2]), "suv": np.zeros(SHAPE[:2])}, "are not 3-D arrays of one shape"),
        ({"affine": np.eye(3)}, r"the shape \(3, 3\)"),
    ],
)
def test_what_is_no_study_is_refused(changed, message):
    ct, suv = arrays()
    with pytest.raises(InputError, match=message):
        PetCt(**{"ct": ct, "suv": suv, "affine": AFFINE, **changed})


def test_the_ct_comes_onto_the_pets_grid_and_is_air_beyond_its_own(files):
    study = read_study(ct=files / "ct.nii.gz", pet=files / "pet.mha")
    np.testing.assert_array_equal(study.suv, arrays()[1].astype(np.float32))
    assert study.ct.shape == SHAPE
    stored = read_image(files / "ct.nii.gz").array
    for voxel in ((0, 0, 0), (2, 2, 2), (4, 4, 6)):  # of its own grid; these meet voxels of the PET's
        place = tuple(int(index * 1.5) for index in voxel)
        assert study.ct[place] == pytest.approx(stored[voxel], abs=0.1)
    assert study.ct[-1, -1, -1] == OUTSIDE_HU
    assert study.record["ct"]["resampled"] is True
    assert study.record["suv"]["source"] == "file"
    assert study.sources == (files / "ct.nii.gz", files / "pet.mha")


def test_a_label_is_read_for_its_study(files):
    study = read_study(ct=files / "ct.nii.gz", pet=files / "pet.mha")
    mask = read_label(files / "mask.nii.gz", study)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, study.suv > 7)


def test_a_label_of_another_grid_is_refused(files):
    study = read_study(ct=files / "ct.nii.gz", pet=files / "pet.mha")
    write_image(files / "other.nii.gz", np.zeros((8, 9, 11), np.uint8), AFFINE)
    with pytest.raises(InputError, match="is not the PET's"):
        read_label(files / "other.nii.gz", study)


def test_dicom_scans_and_the_structures_drawn_on_them(tmp_path):
    stored = np.full((8, 9, 12), -1000, np.int16)
    stored[2:6, 2:7, 2:9] = 40
    write_series(tmp_path / "pet")
    write_series(tmp_path / "ct", modality="CT", pixels=stored)
    left, right, upper, lower, place = -20 + 3 * 2.5, -20 + 3 * 4.5, -30 + 4 * 2.5, -30 + 4 * 4.5, 100 + 5 * 3
    square = np.array([(left, upper, place), (right, upper, place), (right, lower, place), (left, lower, place)])
    write_rtstruct(tmp_path / "own.dcm", {"GTV": [square], "body": [2 * square - square.mean(axis=0)]})
    write_rtstruct(tmp_path / "other.dcm", {"GTV": [square]}, frame="another")

    study = read_study(ct=tmp_path / "ct", pet=tmp_path / "pet")
    assert study.suv.max() == pytest.approx((8 * 9 * 12 - 1) * expected_suv_factor(), rel=1e-5)
    assert study.record["suv"]["source"] == "DICOM"
    assert np.count_nonzero(study.ct == 40) == 4 * 5 * 7
    mask = read_label(tmp_path / "own.dcm", study, regions=["GTV"])
    assert sorted(np.unique(np.argwhere(mask)[:, axis]).tolist() for axis in (0, 2)) == [[3], [3, 4]]
    assert np.count_nonzero(mask) == 4
    with pytest.raises(InputError, match="another frame of reference"):
        read_label(tmp_path / "other.dcm", study)


def test_what_is_odd_is_told_and_the_rest_is_not(tmp_path):
    stored = np.full((8, 9, 12), -1000, np.int16)
    stored[2:6, 2:7, 2:9] = 40
    write_series(tmp_path / "pet")
    write_series(tmp_path / "ct", modality="CT", pixels=stored)
    write_series(tmp_path / "other", modality="CT", pixels=stored, frame="another")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_study(ct=tmp_path / "ct", pet=tmp_path / "pet")
    with pytest.warns(UserWarning, match="other: .*frame of reference") as told:
        study = read_study(ct=tmp_path / "other", pet=tmp_path / "pet")
    assert len(told) == len(study.record["ct"]["warnings"]) == 1
    assert told[0].filename == __file__

    square = np.array([(-12.5, -22, 115), (-6.5, -22, 115), (-6.5, -14, 115), (-12.5, -14, 115)])
    write_rtstruct(tmp_path / "twice.dcm", {"GTV": [square, square]})
    with pytest.warns(UserWarning, match=r"twice\.dcm: "):
        mask = read_label(tmp_path / "twice.dcm", study)
    assert np.count_nonzero(mask) == 4
