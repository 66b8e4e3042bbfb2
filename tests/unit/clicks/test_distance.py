"""The distance encoding of clicks against distances to every click."""

from dataclasses import replace

import numpy as np
import pytest

from clickpet.clicks.distance import nearness
from clickpet.clicks.heatmap import draw_heatmap, heatmap_steps
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks, Interaction
from clickpet.errors import InputError

SHAPE = (23, 19, 14)
SPACING_MM = (2.0, 3.0, 5.0)
AFFINE = np.diag([-2.0, 3.0, 5.0, 1.0])
OPTIONS = HeatmapOptions(encoding="distance", distance_mm=13)


def slow(clicks, options=OPTIONS, shape=SHAPE):
    """Distance of every voxel to every click, the nearest one decides."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * SPACING_MM

    def farness(points):
        distances = [np.linalg.norm(voxels - point * np.array(SPACING_MM), axis=-1) for point in points]
        return np.min(distances, axis=0, initial=np.inf) if len(points) else np.full(shape, np.inf)

    tumor, background = farness(clicks.tumor), farness(clicks.background)
    near = np.maximum(1 - np.minimum(tumor, background) / options.distance_mm, 0)
    return np.where(tumor <= background, near, -near)


def some_clicks(seed, tumor=4, background=5):
    rng = np.random.default_rng(seed)
    return Clicks(rng.integers(0, SHAPE, (tumor, 3)), rng.integers(0, SHAPE, (background, 3)))


def drawn(clicks, options=OPTIONS, suv=None):
    return draw_heatmap(np.zeros(SHAPE, np.float32) if suv is None else suv, clicks, options, affine=AFFINE)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("distance_mm", [3, 13, 200])
def test_every_voxel_knows_its_nearest_click(seed, distance_mm):
    clicks = some_clicks(seed)
    options = replace(OPTIONS, distance_mm=distance_mm)
    heatmap = drawn(clicks, options)
    assert heatmap.dtype == np.float32
    np.testing.assert_allclose(heatmap, slow(clicks, options), atol=1e-6)


def test_a_click_is_one_and_background_minus_one_and_far_voxels_nothing():
    heatmap = drawn(Clicks([[5, 5, 5]], [[20, 5, 5]]))
    assert (heatmap[5, 5, 5], heatmap[20, 5, 5]) == (1, -1)
    assert heatmap[11, 5, 5] == pytest.approx(1 - 12 / 13)
    assert (heatmap[5:21, 5, 5] >= 0)[:8].all()
    assert heatmap[5, 18, 13] == 0
    assert not drawn(Clicks.empty()).any()


def test_the_same_voxel_clicked_as_both_is_tumour():
    assert drawn(Clicks([[5, 5, 5]], [[5, 5, 5]]))[5, 5, 5] == 1


def test_the_uptake_plays_no_part():
    clicks = some_clicks(0)
    suv = np.random.default_rng(0).gamma(2, 2, SHAPE).astype(np.float32)
    np.testing.assert_array_equal(drawn(clicks, suv=suv), drawn(clicks))


def test_each_step_is_the_map_of_its_clicks():
    clicks, suv = some_clicks(3), np.zeros(SHAPE, np.float32, order="F")
    steps = [0, 1, 3, 2, 5]
    for k, heatmap in heatmap_steps(suv, clicks, steps, OPTIONS, affine=AFFINE):
        np.testing.assert_array_equal(heatmap, drawn(clicks.first(k)))
        assert heatmap.flags.f_contiguous


def test_a_scribble_is_as_near_as_its_nearest_point():
    rng = np.random.default_rng(1)
    points = rng.integers(0, SHAPE, (40, 3))
    whole = np.zeros(SHAPE, np.float32)
    window, values = nearness(points, SHAPE, SPACING_MM, 13)
    whole[window] = values
    np.testing.assert_allclose(whole, slow(Clicks(points, [])), atol=1e-6)
    scribble, click = Interaction("background", points), Interaction("tumor", [[4, 4, 4]])
    clicks = Clicks.from_interactions([scribble, click, Interaction("background", [[20, 3, 2]])])
    np.testing.assert_allclose(drawn(clicks), slow(clicks), atol=1e-6)
    (_, first), *_ = heatmap_steps(np.zeros(SHAPE), clicks, [1], OPTIONS, affine=AFFINE)
    np.testing.assert_allclose(first, slow(Clicks([[4, 4, 4]], points)), atol=1e-6)


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(InputError, match=r"background click \[23, 0, 0\] is outside the grid 23x19x14"):
        drawn(Clicks([], [[23, 0, 0]]))
    with pytest.raises(InputError, match="need the size of a voxel"):
        draw_heatmap(np.zeros(SHAPE), Clicks([[1, 1, 1]], []), OPTIONS)
    with pytest.raises(InputError, match="distance_mm is 0"):
        replace(OPTIONS, distance_mm=0)
    with pytest.raises(InputError, match="encoding is 'edt'"):
        replace(OPTIONS, encoding="edt")
