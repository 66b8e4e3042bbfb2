"""Studies of the phantom: always the same, with the uptake of their tracer."""

import hashlib
import json

import numpy as np
import pytest
from phantom_studies import HEALTHY, SEED, WITH_LESIONS, made
from scipy import ndimage

from clickpet.images import spacing_mm
from clickpet.organs.labels import ORGANS
from clickpet.phantom.cohort import COHORT
from clickpet.phantom.scanner import GRIDS
from clickpet.phantom.study import make_study


def median_suv(index, organ):
    study = made(index)
    return float(np.median(study["pet"][study["organs"] == ORGANS[organ]]))


def digest(study):
    text = hashlib.sha256()
    for name in ("pet", "label", "organs", "ct"):
        text.update(np.ascontiguousarray(study[name]))
    text.update(json.dumps([study["lesions"], study["foci"], study["clicks"]], default=repr).encode())
    return text.hexdigest()


@pytest.mark.parametrize("index", [0, 12])
def test_same_study_twice_is_the_same(index):
    first = digest(made(index))
    made.cache_clear()
    assert digest(made(index)) == first


def test_another_seed_is_another_study():
    assert digest(made(0, seed=21)) != digest(made(0))


def test_second_study_of_a_patient_has_the_same_anatomy_but_other_lesions():
    first, second = (make_study(f"fdg_p_{n}", tracer="fdg", patient="p", seed=SEED) for n in (1, 2))
    other = make_study("fdg_q_1", tracer="fdg", patient="q", seed=SEED)
    volume = {
        name: np.bincount(study["organs"].ravel(), minlength=16)[2:]
        for name, study in (("1", first), ("2", second), ("q", other))
    }
    filling = ORGANS["bladder"] - 2
    change = np.abs(volume["1"] - volume["2"]) / np.maximum(volume["1"], 200)
    assert np.delete(change, filling).max() < 0.1
    assert (np.abs(volume["1"] - volume["q"]) / np.maximum(volume["1"], 200)).max() > 0.1
    assert [lesion["centre_mm"] for lesion in first["lesions"]] != [lesion["centre_mm"] for lesion in second["lesions"]]


@pytest.mark.parametrize("index", [*WITH_LESIONS, *HEALTHY])
def test_arrays_and_grids(index):
    study, row = made(index), COHORT[index]
    shape, spacing = GRIDS[row.grid or row.tracer]
    assert study["pet"].shape == study["label"].shape == study["organs"].shape == shape
    assert np.allclose(spacing_mm(study["affine"]), spacing)
    assert (study["pet"].dtype, study["label"].dtype, study["organs"].dtype, study["ct"].dtype) == (
        np.float32,
        np.uint8,
        np.uint8,
        np.int16,
    )
    assert study["pet"].min() >= 0
    assert np.isfinite(study["pet"]).all()
    assert set(np.unique(study["organs"])) == {0, *ORGANS.values()}
    same = study["ct"].shape == shape and np.array_equal(study["ct_affine"], study["affine"])
    assert same is not row.ct_own_grid


@pytest.mark.parametrize("index", [0, 2])
def test_hounsfield_units_of_the_tissues(index):
    """Also on the CT's own grid, which runs the other way: organs are looked up at the CT's millimetres."""
    study = made(index)
    corner = np.linalg.inv(study["affine"]) @ study["ct_affine"]
    at = np.rint(
        np.einsum("ij,jxyz->ixyz", corner[:3, :3], np.indices(study["ct"].shape)) + corner[:3, 3, None, None, None]
    )
    at = np.clip(at.astype(int), 0, np.array(study["organs"].shape)[:, None, None, None] - 1)
    organs = study["organs"][tuple(at)]
    for organ, low, high in (("lungs", -900, -700), ("liver", 45, 70), ("skeleton", 150, 500), ("brain", 20, 45)):
        assert low < np.median(study["ct"][organs == ORGANS[organ]]) < high


def test_fdg_pattern():
    for index in (0, 2, 3):
        assert median_suv(index, "brain") > 2 * median_suv(index, "liver")
        assert 1.2 < median_suv(index, "liver") < 3.5
        assert median_suv(index, "bladder") > 2 * median_suv(index, "liver")
        assert median_suv(index, "heart") > 1.3
        assert median_suv(index, "lungs") < 0.7


def test_psma_pattern():
    for index in (7, 10, 12):
        liver = median_suv(index, "liver")
        assert median_suv(index, "kidneys") > 2 * liver
        assert median_suv(index, "parotid_glands") > liver
        assert median_suv(index, "spleen") > 3
        assert median_suv(index, "bladder") > liver
        assert median_suv(index, "brain") < 0.5
        assert 3 < liver < 11


def test_noise_grows_with_uptake():
    twin = {seed: make_study("fdg_p_1", tracer="fdg", patient="p", seed=SEED, centre=seed) for seed in ("UKT", "LMU")}
    organs = twin["UKT"]["organs"]
    inside = {organ: ndimage.binary_erosion(organs == ORGANS[organ], iterations=2) for organ in ("lungs", "liver")}
    spread = {(centre, organ): study["pet"][inside[organ]].std() for centre, study in twin.items() for organ in inside}
    assert spread["UKT", "liver"] > 1.5 * spread["UKT", "lungs"]
    assert spread["LMU", "liver"] > 1.1 * spread["UKT", "liver"]
