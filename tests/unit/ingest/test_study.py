"""Labels onto the PET's grid: other axis orders are turned, other places are refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.images import Image, write_image
from clickpet.ingest.study import load_label

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
