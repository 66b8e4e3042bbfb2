"""Safety of interaction, counted voxel by voxel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.clicks.model import Clicks, Interaction
from clickpet.evaluate.safety import added_clicks, answer_to, far_change_ml, honoured

AFFINE = np.array([[-4.0, 0, 0, 60], [0, 3.0, 0, -35], [0, 0, 5.0, -900], [0, 0, 0, 1]])
VOXEL_ML = 0.06


def test_points_that_the_mask_honours():
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[1:3, 1, 1] = 1
    clicks = Clicks.from_interactions(
        [
            Interaction("tumor", [[1, 1, 1], [2, 1, 1], [3, 1, 1]]),
            Interaction("background", [[0, 0, 0]]),
            Interaction("background", [[2, 1, 1]]),
        ]
    )
    assert honoured(mask, clicks) == {
        "tumor_points": 3, "tumor_inside": 2, "background_points": 2, "background_outside": 1,
    }  # fmt: skip
    assert honoured(mask, Clicks.empty()) == dict.fromkeys(
        ("tumor_points", "tumor_inside", "background_points", "background_outside"), 0
    )


@given(seed=st.integers(0, 10**6), density=st.sampled_from([0, 0.01, 0.3]))
@settings(max_examples=40, deadline=None)
def test_far_changes_one_by_one(seed, density):
    rng = np.random.default_rng(seed)
    shape = rng.integers(2, 30, 3)
    before, after = rng.random(shape) < density, rng.random(shape) < density
    points = rng.integers(0, shape, (rng.integers(1, 5), 3))
    far = 0
    for voxel in np.argwhere(before != after):
        far += min(np.linalg.norm(AFFINE[:3, :3] @ (voxel - point)) for point in points) > 50
    added = [Interaction("tumor", points[:1]), *([Interaction("background", points[1:])] if len(points) > 1 else [])]
    assert far_change_ml(before, after, added, AFFINE) == pytest.approx(far * VOXEL_ML)
    assert far_change_ml(before, after, [], AFFINE) == pytest.approx((before != after).sum() * VOXEL_ML)


@pytest.mark.parametrize(("x", "far"), [(10, False), (11, True)])
def test_five_centimetres_are_not_far(x, far):
    before, after = np.zeros((20, 3, 3)), np.zeros((20, 3, 3))
    after[x, 0, 0] = 1
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    assert (far_change_ml(before, after, [Interaction("tumor", [[0, 0, 0]])], affine) > 0) == far


def test_the_answer_to_what_was_added():
    before, after = np.zeros((20, 3, 3)), np.zeros((20, 3, 3))
    after[[1, 19], 0, 0] = 1
    clicks = Clicks([[1, 0, 0]], [[19, 0, 0]])
    affine = np.diag([5.0, 5.0, 40.0, 1.0])  # a voxel of 1 ml
    added = added_clicks(clicks, 0, 1)
    assert added == clicks.interactions()
    assert added_clicks(clicks, 1, 2) == []
    answer = answer_to(after, clicks, added[:1], affine, before)
    assert (answer["points"], answer["changed_ml"], answer["far_changed_ml"]) == (1, 2.0, 1.0)
    assert (answer["tumor_inside"], answer["background_outside"]) == (1, 0)
    assert answer_to(after, clicks, [], affine, before)["far_changed_ml"] == 0
    assert np.isnan(answer_to(after, clicks, added, affine, None)["changed_ml"])
