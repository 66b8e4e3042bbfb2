"""Given organ maps: schemes, grids, and what cannot be used."""

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.images import Image, read_image
from clickpet.organs.given import import_organs, scheme_table
from clickpet.organs.labels import ORGANS

AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])


def test_our_own_numbers_stay(tmp_path):
    organs = np.zeros((4, 4, 16), np.uint8)
    organs[0, 0, 2:] = np.arange(2, 16)
    image = Image(organs, AFFINE)
    np.testing.assert_array_equal(import_organs(image, organs.shape, AFFINE, scheme="clickpet"), organs)


def test_lesiontracers_classes():
    given = np.arange(11, dtype=np.uint8).reshape(11, 1, 1)
    found = import_organs(Image(given, AFFINE), given.shape, AFFINE)[:, 0, 0]
    names = ["", "spleen", "kidneys", "liver", "bladder", "lungs", "brain", "heart", "digestive_system", "prostate",
             "parotid_glands"]  # fmt: skip
    np.testing.assert_array_equal(found, [ORGANS.get(name, 0) for name in names])


def test_your_own_table():
    table = {1: "liver", "2": "kidney_left", 7: "kidney_right", 9: "background"}
    assert scheme_table(table) == {1: ORGANS["liver"], 2: ORGANS["kidneys"], 7: ORGANS["kidneys"], 9: 0}
    given = np.array([0, 1, 2, 7, 9], np.int16).reshape(5, 1, 1)
    found = import_organs(Image(given, AFFINE), given.shape, AFFINE, scheme=table)
    assert found[:, 0, 0].tolist() == [0, ORGANS["liver"], ORGANS["kidneys"], ORGANS["kidneys"], 0]
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("totalseg", "organs.scheme 'totalseg' is not known; give clickpet or lesiontracer"),
        ({}, "is not known"),
        ({1: "livr"}, "organs.scheme names value 1 'livr'; give whole numbers and one of heart, brain"),
        ({"one": "liver"}, "organs.scheme names value 'one' 'liver'"),
    ],
)
def test_schemes_that_cannot_be_used(scheme, message):
    with pytest.raises(InputError, match=message):
        scheme_table(scheme)


@pytest.mark.parametrize(
    ("scheme", "value"),
    [("lesiontracer", 11), ("lesiontracer", -1), ("clickpet", 1), ("clickpet", 16), ({3: "liver"}, 4)],
)
def test_unknown_values_are_an_error_that_names_the_file(scheme, value):
    given = np.full((2, 2, 2), value, np.int16)
    with pytest.raises(InputError, match=f"p1/organs.nii.gz: .*does not name: {value}") as caught:
        import_organs(Image(given, AFFINE), given.shape, AFFINE, scheme=scheme, where="p1/organs.nii.gz")
    assert "\n" not in str(caught.value)


def test_another_grid_by_the_nearest_voxel():
    given = np.zeros((8, 8, 8), np.uint8)
    given[2:6, 2:6, 2:6] = 3  # 4 mm cube at 1 mm
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    coarse = np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    found = import_organs(Image(given, fine), (6, 4, 4), coarse)
    expected = np.zeros((6, 4, 4), np.uint8)
    expected[1:3, 1:3, 1:3] = ORGANS["liver"]
    np.testing.assert_array_equal(found, expected)


def test_a_map_of_another_place():
    given = Image(np.ones((4, 4, 4), np.uint8), np.diag([1.0, 1.0, 1.0, 1.0]))
    far = np.array([[1, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    with pytest.raises(InputError, match=r"o\.nii: does not overlap the PET; give the organ map of the same study"):
        import_organs(given, (4, 4, 4), far, where="o.nii")


def test_lesions_are_kept_unless_they_are_to_be_erased():
    given = np.full((2, 1, 1), 3, np.uint8)
    lesion = np.array([True, False]).reshape(2, 1, 1)
    kept = import_organs(Image(given, AFFINE), given.shape, AFFINE)
    erased = import_organs(Image(given, AFFINE), given.shape, AFFINE, erase=lesion)
    assert kept.ravel().tolist() == [ORGANS["liver"]] * 2
    assert erased.ravel().tolist() == [0, ORGANS["liver"]]
    assert given.ravel().tolist() == [3, 3]


def test_a_real_map_of_lesiontracer(shared_data):
    path = shared_data / "autopet" / "organs" / "psma_28f9ecc106933531_2017-10-28.nii.gz"
    given = read_image(path)
    found = import_organs(given, given.shape, given.affine, where=path)
    assert np.count_nonzero(found == ORGANS["liver"]) == np.count_nonzero(given.array == 3)
    assert np.count_nonzero(found) == np.count_nonzero(given.array)
