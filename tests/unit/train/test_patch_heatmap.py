"""A heatmap to which corrections were added one by one is that of all interactions together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks, Interaction
from clickpet.train.patch_heatmap import add_correction
from clickpet.train.stored_clicks import StoredClicks

SHAPE, SPACING_MM = (28, 22, 25), (3.0, 2.0, 2.5)
VARIANTS = {
    "paper": HeatmapOptions(sigma_tumor=2, sigma_background=3),
    "raw": HeatmapOptions(sigma_tumor=(1, 2, 1.5), sigma_background=2, peak="raw"),
    "distance": HeatmapOptions(encoding="distance", distance_mm=15),
}


def drawing(options):
    return StoredClicks(Clicks.empty(), options, SPACING_MM, (100, 100, 100))


def scan(seed):
    rng = np.random.default_rng(seed)
    return np.abs(gaussian_filter(rng.normal(size=SHAPE), 1)).astype(np.float32) * 15


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(8))
def test_clicks_added_one_by_one_are_the_heatmap_of_all(variant, seed):
    rng = np.random.default_rng(seed)
    suv, how = scan(seed), drawing(VARIANTS[variant])
    voxels = rng.choice(np.prod(SHAPE), 12, replace=False)  # a background voxel clicked again would count again
    points = np.stack(np.unravel_index(voxels, SHAPE), 1)
    points[1::2] = np.minimum(points[::2] + rng.integers(1, 4, (6, 3)), np.array(SHAPE) - 1)
    kinds = np.where(rng.random(12) < 0.5, "tumor", "background")
    before = Clicks(points[:4][kinds[:4] == "tumor"], points[:4][kinds[:4] == "background"])
    heatmap = torch.from_numpy(draw_heatmap(suv, before, how.options, affine=how.affine))
    for count in range(4, 12):
        add_correction(heatmap, torch.from_numpy(suv), Interaction(kinds[count], points[count : count + 1]), how)
        shown = points[: count + 1], kinds[: count + 1]
        every = Clicks(*(shown[0][shown[1] == kind] for kind in ("tumor", "background")))
        unique = len(np.unique(every.background, axis=0)) == len(every.background)
        if unique or variant == "distance":
            expected = draw_heatmap(suv, every, how.options, affine=how.affine)
            np.testing.assert_allclose(heatmap.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["tumor", "background"])
def test_a_scribble_is_added_as_it_is_drawn_with_the_others(variant, kind):
    suv, how = scan(3), drawing(VARIANTS[variant])
    before = [Interaction("tumor", [[10, 9, 8]]), Interaction("background", [[16, 12, 14]])]
    scribble = Interaction(kind, [[8 + step, 10, 9 + step // 2] for step in range(12)])
    heatmap = torch.from_numpy(draw_heatmap(suv, Clicks.from_interactions(before), how.options, affine=how.affine))
    add_correction(heatmap, torch.from_numpy(suv), scribble, how)
    expected = draw_heatmap(suv, Clicks.from_interactions([*before, scribble]), how.options, affine=how.affine)
    np.testing.assert_allclose(heatmap.numpy(), expected, atol=1e-6)


def test_only_the_window_of_the_correction_changes():
    how = drawing(VARIANTS["paper"])
    heatmap = torch.full(SHAPE, -0.25)
    add_correction(heatmap, torch.full(SHAPE, 9.0), Interaction("tumor", np.array([[14, 11, 12]])), how)
    changed = np.argwhere(heatmap.numpy() != -0.25)
    assert (np.abs(changed - (14, 11, 12)) <= 8).all()  # four sigmas
    assert heatmap[14, 11, 12] == 1


@pytest.mark.parametrize("kind", ["tumor", "background"])
@pytest.mark.parametrize("variant", ["paper", "distance"])
def test_nothing_is_drawn_outside_the_scan(kind, variant):
    suv = torch.from_numpy(scan(0))
    suv[:10] = -torch.inf
    heatmap = torch.zeros(SHAPE)
    add_correction(heatmap, suv, Interaction(kind, np.array([[11, 11, 12]])), drawing(VARIANTS[variant]))
    assert not heatmap[:10].any()
    assert abs(heatmap[11, 11, 12]) == 1


def test_the_uptake_gate_is_that_of_the_point():
    suv = torch.full(SHAPE, 2.0)
    suv[14, 11, 12:] = 2.5
    heatmap = torch.zeros(SHAPE)
    add_correction(heatmap, suv, Interaction("tumor", np.array([[14, 11, 12]])), drawing(VARIANTS["paper"]))
    assert (heatmap > 0).sum() == (heatmap[14, 11, 12:] > 0).sum() == 9
    lower = torch.zeros(SHAPE)
    gated = drawing(replace(VARIANTS["paper"], suv_gate=2))
    add_correction(lower, suv, Interaction("tumor", np.array([[14, 11, 12]])), gated)
    assert (lower > 0).sum() > 1000
