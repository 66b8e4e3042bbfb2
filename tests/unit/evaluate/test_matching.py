"""Lesion matching by IoU against pairs of labelled components, and the official numbers of a real study."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickpet.errors import InputError
from clickpet.evaluate.interactive import area_under_clicks
from clickpet.evaluate.matching import match_f1, match_lesions, size_of
from clickpet.evaluate.scores import score_masks
from clickpet.images import read_image

EDGES = ndimage.generate_binary_structure(3, 2)
UNIT = np.diag([10.0, 10.0, 10.0, 1.0])  # a voxel of 1 ml


def plain(predicted, truth):
    """Every true against every predicted component."""
    true_labels, n_true = ndimage.label(truth, EDGES)
    predicted_labels, n_predicted = ndimage.label(predicted, EDGES)
    iou = np.zeros((n_true, n_predicted))
    for i in range(n_true):
        for j in range(n_predicted):
            one, other = true_labels == i + 1, predicted_labels == j + 1
            iou[i, j] = (one & other).sum() / (one | other).sum()
    hit = iou >= 0.1
    tp, fn, fp = int(hit.any(1).sum()), int((~hit.any(1)).sum()), int((~hit.any(0)).sum())
    if n_true == 0:
        f1 = math.nan
    elif tp == 0:
        f1 = 0.0
    else:
        f1 = 2 * tp / (2 * tp + fp + fn)
    return {"tp": tp, "fp": fp, "fn": fn, "f1_iou10": f1}, iou


@given(seed=st.integers(0, 10**6), density=st.floats(0, 0.5), kept=st.floats(0, 1), order=st.sampled_from("CF"))
@settings(max_examples=80, deadline=None)
def test_equals_the_definition(seed, density, kept, order):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 3)
    truth = rng.random(shape) < density
    predicted = np.where(rng.random(shape) < kept, truth, rng.random(shape) < density)
    predicted = np.array(predicted, order=order)
    matches = match_lesions(predicted, truth, UNIT)
    expected, iou = plain(predicted, truth)
    assert matches.score() == pytest.approx(expected, nan_ok=True)
    best = iou.max(1, initial=0)
    assert sorted(matches.truth_iou) == pytest.approx(sorted(best))
    assert sorted(matches.predicted_iou) == pytest.approx(sorted(iou.max(0, initial=0)))
    assert matches.truth_ml.sum() == pytest.approx(truth.sum())


@pytest.mark.parametrize(("voxels", "found"), [(9, False), (10, True)])
def test_both_sides_of_the_threshold(voxels, found):
    """A lesion of 100 voxels, some of which are predicted and nothing else."""
    truth, predicted = np.zeros((12, 12, 3)), np.zeros((12, 12, 3))
    truth[1:11, 1:11, 1] = 1
    predicted[1, 1 : 1 + voxels, 1] = 1
    score = match_lesions(predicted, truth, UNIT).score()
    assert (score["tp"], score["fp"], score["fn"]) == ((1, 0, 0) if found else (0, 1, 1))
    assert score["f1_iou10"] == (1.0 if found else 0.0)


def test_several_matches_are_not_punished():
    truth, predicted = np.zeros((12, 3, 3)), np.zeros((12, 3, 3))
    truth[1:5, 1, 1] = truth[6:10, 1, 1] = 1
    predicted[1:10, 1, 1] = 1  # one for two
    assert match_lesions(predicted, truth, UNIT).score() == {"tp": 2, "fp": 0, "fn": 0, "f1_iou10": 1.0}
    assert match_lesions(truth, predicted, UNIT).score() == {"tp": 1, "fp": 0, "fn": 0, "f1_iou10": 1.0}


def test_no_lesion_and_no_prediction():
    nothing, one = np.zeros((4, 4, 4)), np.ones((4, 4, 4))
    assert math.isnan(match_lesions(one, nothing, UNIT).score()["f1_iou10"])
    assert match_lesions(one, nothing, UNIT).score()["fp"] == 1
    assert match_lesions(nothing, one, UNIT).score() == {"tp": 0, "fp": 0, "fn": 1, "f1_iou10": 0.0}


def test_pooled_f1_is_that_of_the_sums():
    assert match_f1([1, 3], [0, 2], [1, 0]).tolist() == [2 / 3, 6 / 8]
    assert np.isnan(match_f1(0, 0, 0))


def test_sizes_by_volume():
    assert size_of(np.array([0.1, 0.999, 1.0, 9.99, 10.0, 500])) == [
        *["under 1 ml"] * 2, *["1 to 10 ml"] * 2, *["10 ml and more"] * 2,
    ]  # fmt: skip


def test_masks_of_two_grids():
    with pytest.raises(InputError, match="differ in shape"):
        match_lesions(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), UNIT)


class TestOfficialNumbers:
    """What autoPET V published of its example study, in all digits given (a file for rounds 0 to 2)."""

    DICE = (0.8702, 0.8857, 0.8711, 0.8784, 0.8877)

    @pytest.mark.parametrize(
        ("number", "tp", "fp", "fn", "f1", "fpv_ml", "fnv_ml"),
        [
            (0, 7, 3, 1, 0.7778, 0.9046, 0.9535),
            (1, 7, 2, 1, 0.8235, 0.5868, None),
            (2, *[None] * 6),
        ],
    )
    def test_rounds(self, shared_data, number, tp, fp, fn, f1, fpv_ml, fnv_ml):
        folder = shared_data / "autopet" / "rounds"
        truth, predicted = (read_image(folder / f"{name}.nii.gz") for name in ("truth", f"round_{number}"))
        score = score_masks(predicted.array, truth.array, truth.affine)
        score |= match_lesions(predicted.array, truth.array, truth.affine).score()
        assert round(score["dice"], 4) == self.DICE[number]
        given = {"tp": tp, "fp": fp, "fn": fn, "f1_iou10": f1, "fpv_ml": fpv_ml, "fnv_ml": fnv_ml}
        for name, value in given.items():
            assert value is None or round(score[name], 4) == value, name

    def test_area(self):
        assert area_under_clicks(self.DICE) == pytest.approx(3.5141, abs=1e-4)
