"""Labels onto the PET's grid: other axis orders are turned, other places are refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from dicom_maker import write_rtstruct, write_series

from clickpet.errors import InputError
from clickpet.images import Image, write_image
from clickpet.ingest.study import load_ct, load_label, load_pet, read_label

AFFINE = np.array([[-4.0, 0, 0, 20], [0, 4, 0, -25], [0, 0, 5, 100], [0, 0, 0, 1]])


@pytest.fixture
def pet_and_truth():
    truth = np.random.default_rng(3).random((7, 6, 5)) > 0.7
    return Image(np.zeros(truth.shape, np.float32), AFFINE), truth


@pytest.mark.parametrize("axes", ["LAS", "LPS", "RAS", "RPI", "SAL", "PSR"])
def test_a_label_stored_in_another_axis_order_is_turned(tmp_path, pet_and_truth, axes):
    pet, truth = pet_and_truth
    file = nib.Nifti1Image(truth.astype(np.uint8), AFFINE)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    nib.save(file.as_reoriented(turn), tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(load_label(tmp_path / "label.nii.gz", pet), truth)


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3))[1:])
def test_a_label_that_lies_elsewhere_is_not_turned_into_place(tmp_path, pet_and_truth, flips):
    pet, truth = pet_and_truth
    write_image(tmp_path / "label.nii.gz", truth, np.diag([*flips, 1.0]) @ AFFINE)
    with pytest.raises(InputError, match="its grid"):
        load_label(tmp_path / "label.nii.gz", pet)


def test_the_record_of_a_label(tmp_path):
    pet = Image(np.zeros((48, 48, 24), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    truth = np.zeros(pet.shape, np.uint8)
    truth[2:4, 2:4, 2:4] = 1
    write_image(tmp_path / "label.nii.gz", truth, pet.affine)
    mask, record = read_label(tmp_path / "label.nii.gz", pet)
    np.testing.assert_array_equal(mask, truth)
    assert record == {"source": "file", "warnings": []}
    square = np.array([[-40, -40, 40.0], [-20, -40, 40.0], [-20, -20, 40.0], [-40, -20, 40.0]])
    write_rtstruct(tmp_path / "rs.dcm", {"x": [square, square]})
    mask, record = read_label(tmp_path / "rs.dcm", pet)
    assert mask.sum() == 25
    assert record["source"] == "RTSTRUCT"
    assert record["warnings"] == ["region 'x': 1 contours are stored twice; each was taken once"]


def test_a_ct_that_does_not_belong_to_the_pet(tmp_path):
    air = np.full((8, 9, 12), -1000, np.int16)
    write_series(tmp_path / "pet", PatientID="P1")
    write_series(tmp_path / "ct", modality="CT", pixels=air, frame="another", PatientID="P1")
    write_series(tmp_path / "other", modality="CT", pixels=air, PatientID="P2")
    pet, _ = load_pet(tmp_path / "pet")
    _, record = load_ct(tmp_path / "ct", pet)
    [warning] = record["warnings"]
    assert "another frame of reference" in warning
    with pytest.raises(InputError, match="another patient"):
        load_ct(tmp_path / "other", pet)
    write_image(tmp_path / "suv.nii.gz", pet.array, pet.affine)
    assert load_ct(tmp_path / "other", load_pet(tmp_path / "suv.nii.gz")[0])[1]["warnings"] == []
