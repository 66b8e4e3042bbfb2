"""The phantom cohort: always the same, and as hard as it is said to be."""

import csv
import hashlib
import json
from functools import cache
from itertools import combinations
from pathlib import Path

import cc3d
import numpy as np
import pytest
from scipy import ndimage

from clickpet.images import read_image, spacing_mm, voxel_volume_ml
from clickpet.organs.labels import ORGANS
from clickpet.phantom.phantom import COHORT, GRIDS, Ellipsoid, Tube, make_study, table_text, write_cohort

ROOT = Path(__file__).parents[3]
SEED = 20
WITH_LESIONS = [0, 2, 7, 12]  # FDG, FDG with its own CT grid, PSMA, PSMA on another PET grid
HEALTHY = [3, 10]


@cache
def made(index, seed=SEED):
    study = COHORT[index]
    return make_study(
        study.case,
        tracer=study.tracer,
        patient=study.patient,
        seed=seed,
        centre=study.centre,
        healthy=study.healthy,
        ct_own_grid=study.ct_own_grid,
        grid=study.grid or study.tracer,
    )


def median_suv(index, organ):
    study = made(index)
    return float(np.median(study["pet"][study["organs"] == ORGANS[organ]]))


def digest(study):
    text = hashlib.sha256()
    for name in ("pet", "label", "organs", "ct"):
        text.update(np.ascontiguousarray(study[name]))
    text.update(json.dumps([study["lesions"], study["foci"], study["clicks"]], default=repr).encode())
    return text.hexdigest()


# The table


def test_committed_table_is_the_cohort():
    assert (ROOT / "config/phantom_cases.tsv").read_text(encoding="utf-8") == table_text()


def test_cohort_has_what_it_should():
    train = {
        tracer: [study for study in COHORT if study.split == "train" and study.tracer == tracer]
        for tracer in ("fdg", "psma")
    }
    for studies in train.values():
        assert len(studies) == 7
        assert len({study.patient for study in studies}) == 6
        assert sum(study.healthy for study in studies) == 1
        assert {study.centre for study in studies} == {"UKT", "LMU"}
        assert {study.ct_own_grid for study in studies} == {True, False}
        assert {study.clicks_given for study in studies} == {True, False}
    assert sorted(study.tracer for study in COHORT if study.split == "test") == ["fdg", "psma"]
    assert len({study.case for study in COHORT}) == len(COHORT) == 17
    trained = {study.patient for study in COHORT if study.split == "train"}
    assert not trained & {study.patient for study in COHORT if study.split != "train"}


def test_names_are_as_in_the_release():
    names = [study.case for study in COHORT]
    assert any("  " in name for name in names)
    assert any("." in name for name in names)
    for study in COHORT:
        assert study.case.split("_")[1] == study.patient


def test_predict_study_tells_neither_tracer_nor_truth():
    (row,) = [row for row in csv.DictReader(table_text().splitlines(), delimiter="\t") if row["split"] == "predict"]
    assert (row["tracer"], row["label"], row["organs"]) == ("", "", "")
    assert row["clicks"].endswith("_clicks.json")


# Always the same


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


# Images


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


# Lesions


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


# Clicks


@pytest.mark.parametrize("index", [*WITH_LESIONS, *HEALTHY])
def test_clicks_lie_where_they_should(index):
    study = made(index)
    assert study["clicks"]["type"] == "Multiple points"
    assert study["clicks"]["version"] == {"major": 1, "minor": 0}
    points = {"tumor": [], "background": []}
    for point in study["clicks"]["points"]:
        points[point["name"]].append(tuple(point["point"]))
    assert len(points["background"]) == 10
    assert len(points["tumor"]) == (10 if study["lesions"] else 0)
    assert all(study["label"][point] == 1 for point in points["tumor"])
    assert all(study["label"][point] == 0 for point in points["background"])
    components, number = cc3d.connected_components(study["label"], connectivity=26, return_N=True)
    assert {components[point] for point in points["tumor"]} == set(range(1, number + 1))
    assert (
        study["pet"][points["background"][0]]
        == study["pet"][ndimage.binary_dilation(study["label"], np.ones((3, 3, 3))) == 0].max()
    )
    apart = [
        np.linalg.norm(np.subtract(a, b) * spacing_mm(study["affine"]))
        for a, b in combinations(points["background"], 2)
    ]
    assert min(apart) >= 40


# Files


def test_files_are_those_of_the_table(tmp_path):
    studies = (COHORT[2], COHORT[16])
    write_cohort(seed=SEED, studies=studies, root=tmp_path)
    named = {name for study in studies for name in study.files.values() if name}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == named
    pet, ct = (read_image(tmp_path / COHORT[2].files[kind]) for kind in ("pet", "ct"))
    assert np.array_equal(pet.array, made(2)["pet"])
    assert np.array_equal(ct.array, made(2)["ct"])
    assert np.allclose(ct.affine, made(2)["ct_affine"], atol=1e-4)
    first = {name: (tmp_path / name).read_bytes() for name in named}
    write_cohort(seed=SEED, studies=studies, root=tmp_path)
    assert first == {name: (tmp_path / name).read_bytes() for name in named}


# Shapes


@pytest.mark.parametrize(
    "shape",
    [
        Ellipsoid((3, -2, 5), (9, 6, 12)),
        Tube(((-10, 0, 0), (5, 8, 3), (5, 8, 20)), 4.5),
    ],
)
@pytest.mark.parametrize("turned", [1, -1])
def test_shapes_against_their_definition(shape, turned):
    axes = tuple(np.arange(-24, 25, step, dtype=float)[::turned] for step in (4, 5, 3))
    painted = np.zeros([len(axis) for axis in axes], bool)
    for part, inside in shape.parts(axes):
        painted[part] |= inside
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    if isinstance(shape, Ellipsoid):
        expected = (((points - shape.centre) / shape.radii) ** 2).sum(axis=-1) <= 1
    else:
        steps = np.linspace(0, 1, 1001)[:, None]
        line = np.concatenate(
            [a + steps * np.subtract(b, a) for a, b in zip(shape.points, shape.points[1:], strict=False)]
        )
        near = np.array([np.linalg.norm(line - point, axis=1).min() for point in points.reshape(-1, 3)])
        expected = (near <= shape.radius).reshape(painted.shape)
    assert expected.any()
    assert np.array_equal(painted, expected)
