"""Corrections in training batches: from the network's errors, and nothing else is touched."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.train.error_clicks import ErrorClicks, predict_patches
from clickpet.train.options import CorrectionOptions
from clickpet.train.stored_clicks import StoredClicks

SHAPE = (16, 14, 12)
DRAWING = StoredClicks(Clicks.empty(), HeatmapOptions(sigma_tumor=1, sigma_background=1), (2.0, 2.0, 2.0), SHAPE)
LESION, MISTAKEN = (slice(3, 7), slice(3, 7), slice(3, 7)), (slice(10, 14), slice(8, 12), slice(4, 8))


class Thresholds(nn.Module):
    """Sees lesion where CT is above 0 and no background click is, or at tumour clicks; counts the patches it saw."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm3d(3)
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def forward(self, images):
        self.dropout(self.norm(images))
        assert not torch.is_grad_enabled()
        assert not self.training
        self.seen.append(len(images))
        lesion = torch.where(images[:, 2] == 0, images[:, 0], images[:, 2])
        return [torch.stack((torch.zeros_like(lesion), lesion), 1), "coarser"]


def batch(size=2, *, suv=5.0):
    """Patches with a lesion that CT does not show and a place that CT shows for one."""
    data = torch.zeros(size, 4, *SHAPE)
    data[:, 0] = -1
    data[:, 0][:, *MISTAKEN] = 1
    data[:, 3] = suv
    target = torch.zeros(size, 2, *SHAPE, dtype=torch.int16)
    target[:, 0][:, *LESION] = 1
    target[:, 1] = 4  # an organ everywhere
    return {"data": data, "target": [target, target[..., ::2, ::2, ::2]], "keys": ["a"] * size}


def shown(given=None, *, rounds=1, scribbles=0.0, seed=0, network=None):
    network = network or Thresholds()
    corrections = ErrorClicks(CorrectionOptions(scribbles=scribbles), lambda key: DRAWING)
    return corrections(given or batch(), network, np.random.default_rng(seed), rounds=rounds), network


def test_every_patch_gets_a_correction_inside_an_error():
    given = batch(8)
    before = given["data"].clone()
    result, network = shown(given)
    assert result["data"].shape == (8, 3, *SHAPE)
    assert result["target"] is given["target"]
    torch.testing.assert_close(result["data"][:, :2], before[:, :2])
    kinds = set()
    for clicks in result["data"][:, 2]:
        peaks = torch.nonzero(clicks.abs() == 1).tolist()
        (place,) = (peak for peak in peaks)
        box = LESION if clicks[tuple(place)] == 1 else MISTAKEN
        assert all(part.start <= index < part.stop for part, index in zip(box, place, strict=True))
        kinds.add(float(clicks[tuple(place)]))
    assert kinds == {-1.0, 1.0}
    assert network.seen == [8]


def test_later_rounds_see_the_corrections_of_earlier_ones():
    result, network = shown(batch(40), rounds=2)
    peaks = [sorted(clicks[clicks.abs() == 1].tolist()) for clicks in result["data"][:, 2]]
    assert {tuple(one) for one in peaks} <= {(1,), (-1,), (-1, 1)}  # the mended error is not corrected again
    assert peaks.count([-1, 1]) > 5
    assert network.seen == [40, 40]


def test_the_share_of_batches_and_the_number_of_rounds():
    corrections = ErrorClicks(CorrectionOptions(share=0.3, rounds=2), lambda key: DRAWING)
    rng = np.random.default_rng(0)
    rounds = [corrections.rounds(rng) for _ in range(1000)]
    shares = [rounds.count(number) / 1000 for number in range(4)]
    assert shares == pytest.approx([0.7, 0.15, 0.15, 0], abs=0.04)
    untouched, network = shown(rounds=0)
    assert untouched["data"].shape == (2, 3, *SHAPE)
    assert not untouched["data"][:, 2].any()
    assert network.seen == []


def test_a_right_prediction_is_not_corrected():
    given = batch(3)
    given["data"][:, 0] = -1
    given["data"][:, 0][:, *LESION] = 1
    result, network = shown(given, rounds=3)
    assert not result["data"][:, 2].any()
    assert network.seen == [3]


def test_errors_outside_the_scan_do_not_count():
    given = batch(4)
    given["data"][:, 3] = -torch.inf
    result, _ = shown(given, rounds=2)
    assert not result["data"][:, 2].any()


def test_the_network_and_the_random_streams_are_left_as_they_were():
    network = Thresholds()
    network.dropout.eval()
    network.train()
    network.dropout.eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    streams = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    shown(batch(4), rounds=3, scribbles=0.5, network=network)
    assert random.getstate() == streams[0]
    np.testing.assert_array_equal(np.random.get_state()[1], streams[1])
    assert torch.equal(torch.get_rng_state(), streams[2])
    assert network.training
    assert network.norm.training
    assert not network.dropout.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


def test_the_same_numbers_give_the_same_batch():
    one, other, third = (shown(batch(6), rounds=3, scribbles=0.5, seed=seed)[0]["data"] for seed in (3, 3, 4))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


@pytest.mark.parametrize("levels", [True, False])
def test_lesion_is_where_its_logit_is_larger(levels):
    class Fixed(nn.Module):
        def forward(self, images):
            logits = torch.zeros(1, 2, 2, 1, 1)
            logits[0, 1, 0] = 1
            return [logits, None] if levels else logits

    assert predict_patches(Fixed().train(), torch.zeros(1, 3, 2, 1, 1)).flatten().tolist() == [True, False]


def test_the_mask_before_the_last_correction_is_shown():
    given = batch(3)
    given["data"] = torch.cat((given["data"][:, :3], torch.zeros(3, 1, *SHAPE), given["data"][:, 3:]), 1)
    given["data"][2, 0] = -1
    given["data"][2, 0][LESION] = 1  # nothing to correct here

    class WithMask(Thresholds):
        def forward(self, images):
            masks.append(images[:, 3].clone())
            return super().forward(images[:, :3])

    masks = []
    result, _ = shown(given, rounds=1, network=WithMask())
    assert result["data"].shape == (3, 4, *SHAPE)
    assert not masks[0].any()
    expected = torch.zeros(SHAPE)
    expected[MISTAKEN] = 1
    assert torch.equal(result["data"][0, 3], expected)
    assert not result["data"][2, 3].any()
    masks.clear()
    given["data"][:, 2:4] = 0
    shown(given, rounds=2, network=WithMask())
    assert torch.equal(masks[1][0], expected)
