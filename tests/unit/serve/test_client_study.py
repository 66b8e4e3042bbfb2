"""A client's image is the study it says, whichever way its axes run."""

from itertools import permutations, product

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.geometry import orientation
from clickpet.ingest.petct import PetCt
from clickpet.serve.client_study import find_turn, read_client_image

RNG = np.random.default_rng(7)
AFFINE = np.diag([-4.0, 4, 5, 1])


@pytest.fixture(scope="module")
def study():
    suv = RNG.gamma(0.5, 2, (9, 9, 7)).astype(np.float32)
    return PetCt(ct=np.full(suv.shape, -1000.0), suv=suv, affine=AFFINE)


@pytest.mark.parametrize("axes", [*permutations(range(3))])
@pytest.mark.parametrize("flips", [*product((1, -1), repeat=3)])
def test_a_pet_is_found_whichever_way_its_axes_run(study, axes, flips):
    image = study.suv.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)]
    image = np.float32(2.5) * image
    found = read_client_image(image[None], {}, study, "fdg")
    assert (found.study, found.shape, found.tracer) == (study, image.shape, "fdg")
    np.testing.assert_allclose(found.turn.array(image), 2.5 * study.suv, rtol=1e-6)
    np.testing.assert_array_equal(found.turn.back(found.turn.array(image)), image)
    points = np.argwhere(image > np.quantile(image, 0.9))
    there = found.voxels(points)
    np.testing.assert_allclose(2.5 * study.suv[tuple(there.T)], image[tuple(points.T)], rtol=1e-6)


def test_stored_whole_numbers_are_the_same_pet_and_others_are_not(study):
    stored = np.rint(study.suv / study.suv.max() * 32767).astype(np.int16)
    assert find_turn(stored, study.suv) is not None
    hot = study.suv.copy()
    hot[4, 4, 3] += 0.01 * study.suv.max()
    for other in (hot, -study.suv, np.zeros_like(study.suv), study.suv[:-1], study.suv * np.nan, study.suv + 1):
        assert find_turn(other, study.suv) is None


def test_a_voxel_between_the_samples_counts():
    suv = RNG.gamma(0.5, 2, (120, 3, 3)).astype(np.float32)
    assert find_turn(suv, suv) is not None
    other = suv.copy()
    other[1] += suv.max()
    assert find_turn(other, suv) is None


def test_two_channels_with_affine_or_spacing(study):
    image = np.stack([study.suv, study.ct])
    oblique = AFFINE.copy()
    oblique[:3, 3] = 1, 2, 3
    found = read_client_image(image, {"affine": oblique.tolist(), "tracer": "psma"}, None, "fdg")
    np.testing.assert_array_equal(found.study.affine, oblique)
    np.testing.assert_array_equal(found.study.suv, study.suv)
    np.testing.assert_array_equal(found.study.ct, study.ct)
    assert found.tracer == "psma"
    np.testing.assert_array_equal(found.voxels(np.array([[1, 2, 3]])), [[1, 2, 3]])
    plain = read_client_image(image, {"spacing": [4, 4, 5]}, None, "fdg")
    np.testing.assert_array_equal(plain.study.affine, AFFINE)
    assert orientation(plain.study.affine) == "LAS"
    assert plain.tracer == ""


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"spacing": [1, 2]},
        {"spacing": "abc"},
        {"spacing": [1, 2, 0]},
        {"affine": [[1, 2], [3, 4]]},
        {"affine": np.zeros((4, 4)).tolist()},
        {"affine": (np.eye(4) * np.nan).tolist()},
        {"affine": [[{}] * 4] * 4},
        {"spacing": [1, 1, 1], "tracer": ["fdg"]},
        {"spacing": [1, 1, 1], "tracer": "FES"},
    ],
)
def test_properties_that_tell_no_grid_are_refused(study, properties):
    with pytest.raises(InputError):
        read_client_image(np.stack([study.suv, study.ct]), properties, None, "")


def test_images_without_a_ct_or_of_other_values_are_refused(study):
    spacing = {"spacing": [4, 4, 5]}
    for image, text in [
        (study.suv[None], "knows no CT"),
        (np.stack([study.ct, study.suv]), "first channel"),
        (np.stack([study.suv * 1e5, study.ct]), "first channel"),
        (np.stack([study.suv, study.ct + 1000]), "second channel"),
        (np.stack([study.suv * np.nan, study.ct]), "NaN"),
    ]:
        with pytest.raises(InputError, match=text):
            read_client_image(image, spacing, None, "")
