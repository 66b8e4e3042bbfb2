"""Scores against the official definitions written plainly."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jobs import run_script
from scipy import ndimage

from clickpet.clicks.model import Clicks
from clickpet.clicks.writing import write_clicks
from clickpet.errors import InputError
from clickpet.evaluate.scores import check_one_grid, score_case, score_labels, score_masks
from clickpet.evaluate.tables import read_table
from clickpet.images import Image, write_image

#: The scores in the order of the tables.
SCORES = (
    "dice", "fpv_ml", "fnv_ml", "truth_lesions", "predicted_lesions", "found_lesions", "false_lesions", "sensitivity",
    "precision", "f1", "truth_volume_ml", "prediction_volume_ml",
)  # fmt: skip
EDGES = ndimage.generate_binary_structure(3, 2)
ORDERS = (np.ascontiguousarray, np.asfortranarray)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8)
TYPES = st.sampled_from([bool, np.uint8, np.int16, np.float32])


def grid_of(voxel_ml):
    """An affine whose voxels have this volume."""
    return np.diag([1000 * voxel_ml, 1, 1, 1])


def plain(predicted, truth, voxel_ml):
    """The definitions, every component by itself."""
    predicted, truth = predicted != 0, truth != 0
    empty = not truth.any()
    predicted_labels, n_predicted = ndimage.label(predicted, EDGES)
    true_labels, n_true = ndimage.label(truth, EDGES)
    false_positive = false_negative = found = right = 0
    for number in range(1, n_predicted + 1):
        component = predicted_labels == number
        if (component & truth).any():
            right += 1
        else:
            false_positive += component.sum()
    for number in range(1, n_true + 1):
        component = true_labels == number
        if (component & predicted).any():
            found += 1
        else:
            false_negative += component.sum()
    sensitivity = math.nan if empty else found / n_true
    precision = right / n_predicted if n_predicted else math.nan
    if empty:
        f1 = math.nan
    elif found == 0:
        f1 = 0.0
    else:
        f1 = 2 / (1 / sensitivity + 1 / precision)
    return {
        "dice": math.nan if empty else 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()),
        "fpv_ml": false_positive * voxel_ml,
        "fnv_ml": math.nan if empty else false_negative * voxel_ml,
        "truth_lesions": n_true,
        "predicted_lesions": n_predicted,
        "found_lesions": found,
        "false_lesions": n_predicted - right,
        "sensitivity": sensitivity,
        "precision": precision,
        "f1": f1,
        "truth_volume_ml": truth.sum() * voxel_ml,
        "prediction_volume_ml": predicted.sum() * voxel_ml,
    }


def same(score, expected):
    assert list(score) == list(expected)
    for name, value in expected.items():
        assert score[name] == pytest.approx(value, rel=1e-12, nan_ok=True), name


@settings(deadline=None)
@given(data=st.data(), shape=SHAPES, types=st.tuples(TYPES, TYPES), orders=st.tuples(*[st.sampled_from(ORDERS)] * 2))
def test_equals_the_definitions(data, shape, types, orders):
    predicted, truth = (
        order(data.draw(hnp.arrays(bool, shape)).astype(dtype)) for order, dtype in zip(orders, types, strict=True)
    )
    same(score_masks(predicted, truth, grid_of(0.0125)), plain(predicted, truth, 0.0125))


@settings(deadline=None)
@given(seed=st.integers(0, 10000), densities=st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)))
def test_equals_the_definitions_on_many_components(seed, densities):
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 17, 3)
    predicted, truth = (rng.random(shape) < density for density in densities)
    same(score_masks(predicted, truth, grid_of(0.03)), plain(predicted, truth, 0.03))


def blocks(*places, shape=(20, 20, 20)):
    mask = np.zeros(shape, np.uint8)
    for x, y, z, edge in places:
        mask[x : x + edge, y : y + edge, z : z + edge] = 1
    return mask


def test_a_case_counted_by_hand():
    """Two true lesions of 27 and 8 voxels, one found with 12 of its voxels; a false one of 8 voxels."""
    truth = blocks((1, 1, 1, 3), (10, 10, 10, 2))
    predicted = blocks((15, 2, 2, 2))
    predicted[1:3, 1:3, 1:4] = 1
    score = score_masks(predicted, truth, grid_of(0.5))
    assert list(score) == list(SCORES)
    assert score["dice"] == pytest.approx(2 * 12 / (20 + 35))
    assert (score["fpv_ml"], score["fnv_ml"]) == (4.0, 4.0)
    assert (score["truth_lesions"], score["found_lesions"], score["predicted_lesions"]) == (2, 1, 2)
    assert (score["sensitivity"], score["precision"], score["f1"]) == (0.5, 0.5, 0.5)
    assert (score["truth_volume_ml"], score["prediction_volume_ml"]) == (17.5, 10.0)


def test_one_predicted_voxel_finds_a_lesion_and_a_neighbour_does_not():
    truth = blocks((5, 5, 5, 3))
    touching, beside = np.zeros_like(truth), np.zeros_like(truth)
    touching[7, 7, 7] = beside[8, 7, 7] = 1
    assert score_masks(touching, truth, grid_of(1))["fnv_ml"] == 0
    score = score_masks(beside, truth, grid_of(1))
    assert (score["fnv_ml"], score["fpv_ml"], score["found_lesions"]) == (27, 1, 0)


def test_components_are_connected_over_edges_but_not_corners():
    truth = np.zeros((4, 4, 4), bool)
    truth[0, 0, 0] = truth[1, 1, 0] = truth[2, 2, 1] = True
    score = score_masks(truth[:] & (np.arange(4) == 1), truth, grid_of(1))
    assert score["truth_lesions"] == 2
    assert score["fnv_ml"] == 2


def test_no_truth():
    predicted = blocks((1, 1, 1, 2), (6, 6, 6, 1))
    score = score_masks(predicted, np.zeros_like(predicted), grid_of(0.1))
    assert score["fpv_ml"] == pytest.approx(0.9)
    assert all(math.isnan(score[name]) for name in ("dice", "fnv_ml", "sensitivity", "f1"))
    assert (score["precision"], score["truth_lesions"], score["false_lesions"]) == (0, 0, 2)


def test_no_prediction():
    truth = blocks((1, 1, 1, 2))
    score = score_masks(np.zeros_like(truth), truth, grid_of(0.1))
    assert (score["dice"], score["fpv_ml"], score["sensitivity"], score["f1"]) == (0, 0, 0, 0)
    assert score["fnv_ml"] == pytest.approx(0.8)
    assert math.isnan(score["precision"])


def test_neither():
    score = score_masks(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), grid_of(0.1))
    assert (score["fpv_ml"], score["predicted_lesions"]) == (0, 0)
    assert all(math.isnan(score[name]) for name in ("dice", "fnv_ml", "sensitivity", "precision", "f1"))


def test_perfect_and_full():
    full = np.ones((5, 6, 7), np.uint8)
    score = score_masks(full, full, grid_of(0.1))
    assert (score["dice"], score["fpv_ml"], score["fnv_ml"], score["f1"]) == (1, 0, 0, 1)


def test_shapes_must_agree():
    with pytest.raises(InputError, match="differ in shape"):
        score_masks(np.ones((2, 3, 4)), np.ones((2, 3, 5)), grid_of(1))


def test_a_scored_case_has_the_glycolysis_of_truth_and_prediction():
    truth, suv = blocks((1, 1, 1, 2), (10, 10, 10, 1)), np.full((20, 20, 20), 2, np.float32)
    predicted = blocks((1, 1, 1, 2))
    suv[1, 1, 1] = 10
    score, lesions = score_case(predicted, truth, suv, np.diag([5.0, 5.0, 4.0, 1.0]))
    assert list(score)[: len(SCORES)] == list(SCORES)
    assert score["truth_tlg"] == pytest.approx((10 + 8 * 2) * 0.1)
    assert score["prediction_tlg"] == pytest.approx((10 + 7 * 2) * 0.1)
    assert (score["truth_suv_max"], score["prediction_suv_max"]) == (10, 10)
    assert lesions["found"].tolist() == [1, 0]
    assert lesions["volume_ml"].tolist() == pytest.approx([0.8, 0.1])


ROW = {"case": "A  b", "slug": "A_b", "tracer": "fdg", "patient": "p1", "centre": "", "split": "train"}


def test_labels_of_a_score():
    labels = score_labels(ROW, {"tracer": "psma"}, {"A_b": 3, "other": 1})
    assert labels == {**ROW, "tracer_found": "psma", "fold": "3"}
    assert score_labels({**ROW, "split": "test"}, {"tracer": "psma"})["fold"] == ""


def test_the_found_tracer_stands_in_for_an_unknown_one():
    labels = score_labels({**ROW, "tracer": ""}, {"tracer": "psma"})
    assert (labels["tracer"], labels["tracer_found"]) == ("psma", "psma")


def test_one_grid():
    image = Image(np.zeros((3, 4, 5)), np.diag([2.0, 2, 3, 1]))
    check_one_grid({"a": image, "b": Image(np.ones((3, 4, 5)), image.affine + 1e-6)})
    with pytest.raises(InputError, match=r"b: its grid \(3x4x5 at 2.00x2.00x4.00 mm, .*\) is not that of a"):
        check_one_grid({"a": image, "b": Image(image.array, np.diag([2.0, 2, 4, 1]))})


def test_the_scripts_score_a_case_and_its_steps(tmp_path):
    rng = np.random.default_rng(5)
    shape, affine = (12, 13, 14), np.diag([-2.0, 2.0, 5.0, 1.0])
    truth, mask = rng.random(shape) < 0.05, rng.random(shape) < 0.05
    suv = (rng.random(shape) * 8).astype(np.float32)
    for name, array in (("truth", truth), ("mask", mask), ("empty", np.zeros(shape, bool)), ("suv", suv)):
        write_image(tmp_path / f"{name}.nii.gz", array, affine)
    (tmp_path / "tracer.json").write_text('{"tracer": "fdg"}')
    (tmp_path / "splits.json").write_text('{"cases": {"A_b": 2}}')
    given_files = {name: tmp_path / f"{name}.nii.gz" for name in ("truth", "suv")}
    write_clicks(tmp_path / "clicks.json", Clicks.empty())
    given_files |= {"clicks": tmp_path / "clicks.json"}
    given_files |= {"tracer_json": tmp_path / "tracer.json", "splits": tmp_path / "splits.json"}
    run_script(
        "score_case",
        input={"mask": tmp_path / "mask.nii.gz", **given_files},
        output={"score": tmp_path / "score.json", "lesions": tmp_path / "lesion_scores.csv"},
        log=tmp_path / "log",
        params={"row": ROW},
    )
    score = json.loads((tmp_path / "score.json").read_text())
    assert {name: score[name] for name in ("case", "tracer_found", "fold")} == {
        "case": "A  b", "tracer_found": "fdg", "fold": "2",
    }  # fmt: skip
    for name, value in plain(mask, truth, 0.02).items():
        assert score[name] == pytest.approx(value), name
    lesions = read_table(tmp_path / "lesion_scores.csv")
    assert (len(lesions), lesions["found"].sum()) == (score["truth_lesions"], score["found_lesions"])
    assert lesions["volume_ml"].sum() == pytest.approx(score["truth_volume_ml"])

    run_script(
        "score_interactive",
        input={"masks": [tmp_path / "empty.nii.gz", tmp_path / "mask.nii.gz"], **given_files, "splits": []},
        output={
            "masks": [tmp_path / "0.nii.gz", tmp_path / "4.nii.gz"],
            "scores": [tmp_path / "0.json", tmp_path / "4.json"],
        },
        log=tmp_path / "log",
        params={
            "row": {**ROW, "split": "test"},
            "steps": [0, 4],
            "postprocess": {"min_voxels": 10, "min_suv_max": 0, "min_volume_mm3": None},
        },
    )
    first, last = (json.loads((tmp_path / f"{clicks}.json").read_text()) for clicks in (0, 4))
    assert (first["clicks"], first["dice"], first["precision"], first["fold"]) == (0, 0, None, "")
    assert (last["clicks"], last["dice"], last["fpv_ml"]) == (4, score["dice"], score["fpv_ml"])
