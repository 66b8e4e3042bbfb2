"""Heatmaps drawn when a patch is read against those of the whole study."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tiny_models import dataset, plans

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks, Interaction
from clickpet.errors import InputError
from clickpet.geometry import Turn
from clickpet.train.preprocessing import preprocess_case, preprocess_with_clicks, save_preprocessed
from clickpet.train.random_clicks import RandomClicksDataset
from clickpet.train.stored_clicks import RECORD, StoredClicks

SHAPE = (34, 26, 40)
SPACING_MM = (2.0, 2.0, 3.0)
PLANS = plans(spacing_zyx=SPACING_MM[::-1])
OPTIONS = HeatmapOptions(sigma_tumor=2, sigma_background=3)
VARIANTS = {
    "paper": OPTIONS,
    "mm, by axis": replace(OPTIONS, unit="mm", sigma_tumor=(2.0, 5.0, 6.0)),
    "raw": replace(OPTIONS, peak="raw"),
    "keep_clicked": replace(OPTIONS, keep_clicked=True),
    "released": replace(OPTIONS, compat="released", keep_clicked=True),
    "distance": replace(OPTIONS, encoding="distance", distance_mm=14),
}


@pytest.fixture(scope="module")
def study():
    """CT, SUV, clicks (the two kinds close to each other, one at the border) and truth; a few planes are empty."""
    rng = np.random.default_rng(2)
    ct = (gaussian_filter(rng.normal(size=SHAPE), 1) * 2000).astype(np.float32)
    suv = (np.abs(gaussian_filter(rng.normal(size=SHAPE), 1)) * 30).astype(np.float32)
    ct[:3] = suv[:3] = ct[..., -2:] = suv[..., -2:] = 0
    ct[0, 0, 0] = ct[-1, -1, -1] = 100  # so that nnU-Net's crop to what is not 0 keeps the grid, whatever is drawn
    near = rng.integers((3, 0, 0), (34, 26, 38), (4, 3))
    clicks = Clicks([*near, [3, 0, 0]], [*(near + 1).clip(0, (33, 25, 37)), [33, 25, 37], [10, 12, 20]])
    return ct, suv, clicks, (suv > 9).astype(np.uint8)


def las(*spacing_mm):
    return np.diag([-spacing_mm[0], *spacing_mm[1:], 1.0])


def prepared(study, options, affine, *, the_plans=PLANS, turn=None):
    """Stored heatmaps for 0 to 6 clicks (7, z, y, x), and the case whose clicks are drawn later."""
    ct, suv, clicks, truth = study
    given = {"plans": the_plans, "dataset": dataset()}
    every = []
    for k in range(7):
        heatmap = draw_heatmap(suv, clicks.first(k), options, affine=affine)
        every.append(preprocess_case(ct, suv, heatmap, truth, None, affine, **given)[0][2])
    return np.stack(every), preprocess_with_clicks(ct, suv, clicks, options, truth, None, affine, **given)


def boxes(shape, count=12):
    rng = np.random.default_rng(0)
    for _ in range(count):
        ends = np.sort([rng.choice(length + 1, 2, replace=False) for length in shape], axis=1)
        yield tuple(slice(int(low), int(high)) for low, high in ends)


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_equal_spacing_the_values_are_those_of_the_stored_heatmap(study, variant):
    stored, (data, _, properties) = prepared(study, VARIANTS[variant], las(*SPACING_MM))
    clicks = StoredClicks.from_record(properties[RECORD])
    assert clicks.most == 6
    assert data.shape[1:] == stored.shape[1:] == clicks.shape
    for k in range(7):
        for box in [*boxes(data.shape[1:]), tuple(slice(0, length) for length in clicks.shape)]:
            heatmap = clicks.heatmap(lambda part: data[(2, *part)], box, k)
            np.testing.assert_array_equal(heatmap, stored[(k, *box)])
            assert heatmap.dtype == np.float32


@pytest.mark.parametrize("axes", ["RAS", "PIR", "ASL"])
def test_the_order_of_axes_changes_nothing(study, axes):
    options = replace(OPTIONS, sigma_tumor=(1.0, 2.0, 3.0))
    _, (data, _, properties) = prepared(study, options, las(*SPACING_MM))
    turn = Turn.between(las(*SPACING_MM), axes)
    ct, suv, clicks, truth = study
    places = np.zeros(SHAPE, np.uint8)
    moved = []
    for kind in ("tumor", "background"):
        voxels = []
        for point in getattr(clicks, kind):
            places[:] = 0
            places[tuple(point)] = 1
            voxels.append(np.argwhere(turn.array(places))[0])
        moved.append(voxels)
    turned = tuple(turn.array(one) for one in (ct, suv))
    other = preprocess_with_clicks(
        *turned, Clicks(*moved), options, turn.array(truth), None, turn.affine(SHAPE, las(*SPACING_MM)),
        plans=PLANS, dataset=dataset(),
    )  # fmt: skip
    np.testing.assert_array_equal(other[0], data)
    assert other[2][RECORD] == properties[RECORD]
    assert other[2]["digest"] == properties["digest"]


def test_plans_that_transpose_move_the_clicks_along(study):
    turned = {**PLANS, "transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}
    spacing = [SPACING_MM[axis] for axis in (1, 2, 0)]
    turned["configurations"] = {"3d_fullres": {**PLANS["configurations"]["3d_fullres"], "spacing": spacing}}
    options = replace(OPTIONS, sigma_tumor=(1.0, 2.0, 3.0))
    stored, (data, _, properties) = prepared(study, options, las(*SPACING_MM), the_plans=turned)
    clicks = StoredClicks.from_record(properties[RECORD])
    whole = tuple(slice(0, length) for length in clicks.shape)
    np.testing.assert_array_equal(clicks.heatmap(lambda part: data[(2, *part)], whole, 6), stored[6])


@pytest.mark.parametrize("variant", ["paper", "distance"])
def test_at_another_spacing_a_click_moves_by_half_a_voxel_at_most(study, variant):
    """The stated tolerance: the drawn heatmap is the stored one, moved by at most half a voxel along each axis."""
    options = replace(VARIANTS[variant], suv_gate=0)  # the gate is cut along voxels of either grid
    single = (*study[:2], Clicks([[17, 13, 20]], []), study[3])
    stored, (data, _, properties) = prepared(single, options, las(1.4, 2.6, 4.1))
    clicks = StoredClicks.from_record(properties[RECORD])
    whole = tuple(slice(0, length) for length in clicks.shape)
    heatmap = clicks.heatmap(lambda part: data[(2, *part)], whole, 1)
    centres = [
        np.array([(np.indices(one.shape)[axis] * one).sum() / one.sum() for axis in range(3)])
        for one in (heatmap, stored[1].clip(0))
    ]
    assert (np.abs(centres[0] - centres[1]) <= 0.55).all()
    spreads = [np.sqrt(((np.indices(one.shape)[0] - centre[0]) ** 2 * one).sum() / one.sum())
               for one, centre in zip((heatmap, stored[1].clip(0)), centres, strict=True)]  # fmt: skip
    assert spreads[0] == pytest.approx(spreads[1], rel=0.03)


def test_a_case_shows_every_number_of_clicks_and_the_share_without(study, tmp_path):
    stored, case = prepared(study, OPTIONS, las(*SPACING_MM))
    files = {name: tmp_path / f"a{end}" for name, end in
             (("data", ".b2nd"), ("segmentation", "_seg.b2nd"), ("properties", ".pkl"))}  # fmt: skip
    save_preprocessed(files, *case, patch_size=[16, 16, 16])
    cases = RandomClicksDataset(str(tmp_path), ["a"])
    assert cases.clicks_of("a").clicks == StoredClicks.from_record(case[2][RECORD]).clicks
    box = (slice(None), slice(5, 25), slice(2, 20), slice(0, 16))

    def numbers(draws):
        np.random.seed(0)
        found = []
        for _ in range(draws):
            data, *_ = cases.load_case("a")
            patch = data[box]
            np.testing.assert_array_equal(patch[:2], case[0][(slice(0, 2), *box[1:])])
            (k,) = {k for k in range(7) if np.array_equal(patch[2], stored[(k, *box[1:])])}
            found.append(k)
        return found

    assert set(numbers(60)) == set(range(7))
    cases.without_clicks = 0.5
    found = numbers(80)
    assert set(found) == set(range(7))
    assert 25 < found.count(0) < 55
    cases.with_suv = True
    data, *_ = cases.load_case("a")
    assert data.shape == (4, *case[0].shape[1:])
    np.testing.assert_array_equal(data[box][3], case[0][(2, *box[1:])])
    cases.with_mask = True
    data, *_ = cases.load_case("a")
    assert data[box].shape[0] == data.shape[0] == 5
    assert not data[box][3].any()
    np.testing.assert_array_equal(data[box][4], case[0][(2, *box[1:])])


def test_a_case_that_was_stored_for_all_clicks_is_one_line(study, tmp_path):
    ct, suv, _, truth = study
    case = preprocess_case(ct, suv, suv, truth, None, las(*SPACING_MM), plans=PLANS, dataset=dataset())
    files = {name: tmp_path / f"a{end}" for name, end in
             (("data", ".b2nd"), ("segmentation", "_seg.b2nd"), ("properties", ".pkl"))}  # fmt: skip
    save_preprocessed(files, *case, patch_size=[16, 16, 16])
    with pytest.raises(InputError, match=r"a\.pkl: was preprocessed for a training that shows all clicks"):
        RandomClicksDataset(str(tmp_path), ["a"]).load_case("a")


def test_a_scribble_is_drawn_in_a_patch_as_in_the_whole_volume(study):
    ct, suv, clicks, truth = study
    line = np.array([[10 + step, 12, 15] for step in range(8)])
    scribbled = Clicks.from_interactions([Interaction("tumor", line), *clicks.interactions()])
    _, (data, _, properties) = prepared((ct, suv, scribbled, truth), OPTIONS, las(*SPACING_MM))
    stored = StoredClicks.from_record(properties[RECORD])
    assert stored.clicks.sizes("tumor")[0] == len(line)

    def read(part):
        return data[(2, *part)]

    whole = stored.heatmap(read, tuple(slice(0, length) for length in stored.shape), stored.most)
    assert (whole > 0).sum() > 0
    for box in ((slice(3, 14), slice(5, 16), slice(4, 15)), (slice(12, 20), slice(2, 20), slice(0, 12))):
        np.testing.assert_array_equal(stored.heatmap(read, box, stored.most), whole[box])
