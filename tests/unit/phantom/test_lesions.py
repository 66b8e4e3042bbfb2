"""Lesions and benign foci of the phantom: as hard as they are said to be."""

import cc3d
import numpy as np
import pytest
from phantom_studies import HEALTHY, SEED, WITH_LESIONS, made
from scipy import ndimage

from clickpet.images import spacing_mm, voxel_volume_ml
from clickpet.organs.labels import ORGANS
from clickpet.phantom.cohort import COHORT
from clickpet.phantom.study import make_study


@pytest.mark.parametrize("index", HEALTHY)
def test_healthy_study_has_no_lesion_but_foci(index):
    study = made(index)
    assert study["lesions"] == []
    assert not study["label"].any()
    assert len(study["foci"]) >= 4
    assert {point["name"] for point in study["clicks"]["points"]} == {"background"}


@pytest.mark.parametrize("index", WITH_LESIONS)
def test_every_lesion_is_a_component_of_its_volume(index):
    study = made(index)
    components, number = cc3d.connected_components(study["label"], connectivity=26, return_N=True)
    assert number == len(study["lesions"])
    volume_ml = voxel_volume_ml(study["affine"])
    for lesion in study["lesions"]:
        at = np.rint(np.linalg.inv(study["affine"]) @ [*lesion["centre_mm"], 1])[:3].astype(int)
        component = components[tuple(at)]
        assert component > 0
        sphere_ml = 4 / 3 * np.pi * np.prod(lesion["radii_mm"]) / 1000
        found_ml = (components == component).sum() * volume_ml
        low, high = (0.7, 1.9) if lesion["kind"] == "large" else (0.4, 1.6) if lesion["kind"] != "tiny" else (0.2, 2.2)
        assert low * sphere_ml < found_ml < high * sphere_ml


@pytest.mark.parametrize("index", WITH_LESIONS)
def test_lesions_vary_in_size_and_uptake(index):
    lesions = made(index)["lesions"]
    kinds = {lesion["kind"] for lesion in lesions}
    assert {"large", "tiny"} <= kinds
    for lesion in lesions:
        if lesion["kind"] == "faint":
            assert lesion["suv"] < 3.3
        if lesion["kind"] == "tiny":
            assert max(lesion["radii_mm"]) < 9.1
    assert 4 <= len(lesions) <= 8


def test_most_studies_have_a_faint_lesion():
    assert sum(any(lesion["kind"] == "faint" for lesion in made(index)["lesions"]) for index in WITH_LESIONS) >= 3


@pytest.mark.parametrize("index", WITH_LESIONS)
def test_lesions_stand_out_of_their_surroundings(index):
    """Against the same study without lesions: what a lesion adds to the PET within its mask."""
    row = COHORT[index]
    without = make_study(
        row.case,
        tracer=row.tracer,
        patient=row.patient,
        seed=SEED,
        centre=row.centre,
        healthy=True,
        grid=row.grid or row.tracer,
    )
    study = made(index)
    components, number = cc3d.connected_components(study["label"], connectivity=26, return_N=True)
    for component in range(1, number + 1):
        inside = components == component
        assert study["pet"][inside].mean() > 1.15 * without["pet"][inside].mean() + 0.2
    assert np.abs(study["pet"] - without["pet"])[~ndimage.binary_dilation(study["label"], iterations=4)].max() < 0.05


@pytest.mark.parametrize("index", WITH_LESIONS)
def test_uptake_alone_does_not_find_lesions(index):
    """No threshold on the SUV gives a Dice over 0.5, and benign foci are as hot and as large as lesions."""
    study = made(index)
    pet, truth = study["pet"], study["label"] > 0
    assert (
        max(2 * (truth & (pet > cut)).sum() / (truth.sum() + (pet > cut).sum()) for cut in np.arange(1, 20, 0.5)) < 0.5
    )
    lesions = [lesion["suv"] for lesion in study["lesions"]]
    hot = [focus for focus in study["foci"] if focus["suv"] > np.median(lesions) / 2]
    assert len(hot) >= 2
    for focus in hot:
        assert not truth[tuple(np.rint(np.linalg.inv(study["affine"]) @ [*focus["centre_mm"], 1])[:3].astype(int))]


def test_lesions_lie_beside_physiological_uptake_somewhere():
    """Within 25 mm of bladder, kidneys, heart or brain in at least one study of each tracer."""
    for indices in ((0, 2), (7, 12)):
        beside = 0
        for index in indices:
            study = made(index)
            hot = np.isin(study["organs"], [ORGANS[name] for name in ("bladder", "kidneys", "heart", "brain")])
            distance = ndimage.distance_transform_edt(~hot, spacing_mm(study["affine"]))
            beside += (distance[study["label"] > 0] < 25).any()
        assert beside
