"""Predictions of one study after another heatmap equal predictions from scratch, bit for bit, and run fewer tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tiny_models import CHANNELS, with_previous_mask, write_model

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.predict.ensemble import LesionEnsemble
from clickpet.predict.study_predictor import StudyPredictor

SHAPE = (38, 30, 44)
EQUAL_MM, OTHER_MM = (2.0, 2.0, 3.0), (2.3, 2.2, 2.7)
SPACINGS = {"equal": EQUAL_MM, "other": OTHER_MM, "coarse": (2.0, 2.0, 7.0)}
TILE_BYTES = 4 * 16**3


def affine(spacing_mm, axes=(-1, 1, 1)):
    return np.diag([*np.multiply(spacing_mm, axes), 1.0])


@pytest.fixture(scope="module")
def ensembles(tmp_path_factory):
    """By number of folds."""
    folder = write_model(tmp_path_factory.mktemp("models") / "fdg", folds=(0, 1, 2), scale=3)
    return {count: LesionEnsemble.load(folder, range(count)) for count in (1, 3)}


@pytest.fixture(scope="module")
def scan():
    """CT with air, table and body, and a PET with hot spots; a margin is 0 in both."""
    rng = np.random.default_rng(0)
    waves = [gaussian_filter(rng.normal(size=SHAPE), 1.5).astype(np.float32) for _ in range(2)]
    ct, suv = np.full(SHAPE, -1000, np.float32), np.zeros(SHAPE, np.float32)
    body = (slice(6, 32), slice(5, 26), slice(0, 44))
    ct[body], suv[body] = waves[0][body] * 800, np.abs(waves[1][body]) * 60
    for array in (ct, suv):
        array[:3] = array[:, :, 42:] = 0
    return ct, suv


def heatmap_of(interactions, suv, grid):
    points = {
        kind: [p for one, several in interactions if one == kind for p in several] for kind in ("tumor", "background")
    }
    clicks = Clicks(**{kind: np.array(several, np.int64).reshape(-1, 3) for kind, several in points.items()})
    return draw_heatmap(suv, clicks, HeatmapOptions(sigma_tumor=0.8, sigma_background=1.2), affine=grid)


voxels = st.tuples(*[st.integers(0, length - 1) for length in SHAPE])
interactions = st.tuples(st.sampled_from(["tumor", "background"]), st.lists(voxels, min_size=1, max_size=3))
actions = st.lists(st.one_of(interactions, interactions, st.just("undo"), st.just("reset")), min_size=2, max_size=4)


def played(actions):
    """The interactions that are in effect after each action, from none on."""
    there = []
    yield list(there)
    for action in actions:
        if action == "reset":
            there = []
        elif action == "undo":
            there = there[:-1]
        else:
            there = [*there, action]
        yield list(there)


def check_same(found, right):
    assert found.mask.dtype == right.mask.dtype
    np.testing.assert_array_equal(found.mask, right.mask)
    assert found.details["disagreement"] == right.details["disagreement"]
    for name in ("disagreement", "probability"):
        one, other = getattr(found, name), getattr(right, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.tobytes() == other.tobytes(), name


@settings(max_examples=6, deadline=None)
@given(
    actions=actions,
    spacing=st.sampled_from(sorted(SPACINGS)),
    mirror_axes=st.sampled_from([(), (2,), (0, 1, 2)]),
    batch=st.sampled_from([1, 2, 3, 5, 8]),
    folds=st.sampled_from([1, 3]),
    average=st.sampled_from(["softmax", "logits"]),
    limit_tiles=st.sampled_from([0.5, 3, 12, 1000]),
    body_box=st.booleans(),
    maps=st.booleans(),
)
def test_any_sequence_of_clicks_gives_predictions_from_scratch(
    ensembles, scan, actions, spacing, mirror_axes, batch, folds, average, limit_tiles, body_box, maps
):
    ct, suv = scan
    grid = affine(SPACINGS[spacing])
    options = {
        "mirror_axes": mirror_axes,
        "batch": batch,
        "fold_average": average,
        "body_box": body_box,
        "tile_step": 0.7,
        "disagreement": "everywhere" if maps else "none",
        "save_probability": maps,
        "threshold": 0.4 if maps else 0.5,
    }
    study = StudyPredictor(
        ensembles[folds], ct=ct, suv=suv, affine=grid, memory_limit_bytes=int(limit_tiles * TILE_BYTES), **options
    )
    for there in played(actions):
        heatmap = heatmap_of(there, suv, grid)
        found = study.predict(heatmap)
        check_same(found, ensembles[folds].predict(ct=ct, suv=suv, heatmap=heatmap, affine=grid, **options))
        assert found.tiles_run <= found.details["tiles"]
        assert study.kept_bytes <= limit_tiles * TILE_BYTES


@pytest.mark.parametrize("spacing", ["equal", "other"])
@pytest.mark.parametrize("batch", [1, 8])
def test_a_click_runs_the_tiles_that_see_it_and_taking_it_back_none(ensembles, scan, spacing, batch):
    ct, suv = scan
    grid = affine(SPACINGS[spacing])
    options = {"mirror_axes": (), "body_box": False, "batch": batch}
    study = StudyPredictor(ensembles[1], ct=ct, suv=suv, affine=grid, memory_limit_bytes=2**30, **options)
    first = study.predict(heatmap_of([], suv, grid))
    assert first.tiles_run == first.details["tiles"]
    clicks = [("tumor", [(10, 8, 5)])]
    second = study.predict(heatmap_of(clicks, suv, grid))
    assert 0 < second.tiles_run < first.tiles_run
    clicks.append(("background", [(30, 20, 33)]))
    third = study.predict(heatmap_of(clicks, suv, grid))
    assert 0 < third.tiles_run <= first.tiles_run  # resampling by splines carries this one through the tiny volume
    assert study.predict(heatmap_of(clicks, suv, grid)).tiles_run == 0
    assert study.predict(heatmap_of(clicks[:1], suv, grid)).tiles_run == 0
    again = study.predict(heatmap_of([], suv, grid))
    assert again.tiles_run == 0
    np.testing.assert_array_equal(again.mask, first.mask)
    assert first.mask.any()


def test_a_prediction_is_not_changed_by_the_next_one(ensembles, scan):
    ct, suv = scan
    grid = affine(EQUAL_MM, (1, -1, 1))
    study = StudyPredictor(ensembles[3], ct=ct, suv=suv, affine=grid, memory_limit_bytes=2**30, mirror_axes=())
    first = study.predict(heatmap_of([], suv, grid))
    kept = first.mask.copy()
    second = study.predict(heatmap_of([("tumor", [(10, 8, 5)])], suv, grid))
    assert not np.array_equal(second.mask, first.mask)
    np.testing.assert_array_equal(first.mask, kept)


class BatchDependent(torch.nn.Module):
    """A network whose result depends on how many tiles it sees at once, as that of a convolution may."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images) * (1 + 1e-3 * len(images))


def test_groups_keep_their_size_where_that_changes_bits(ensembles, scan):
    ct, suv = scan
    grid = affine(EQUAL_MM)
    ensemble = LesionEnsemble(ensembles[1].model, [0], [BatchDependent(ensembles[1].networks[0])])
    options = {"mirror_axes": (), "batch": 5, "save_probability": True}
    study = StudyPredictor(ensemble, ct=ct, suv=suv, affine=grid, memory_limit_bytes=2**30, **options)
    for there in ([], [("tumor", [(10, 8, 5)])], [("tumor", [(10, 8, 5)]), ("background", [(30, 20, 33)])]):
        heatmap = heatmap_of(there, suv, grid)
        check_same(study.predict(heatmap), ensemble.predict(ct=ct, suv=suv, heatmap=heatmap, affine=grid, **options))
    assert set(ensemble.same_bits.values()) == {False}


def test_sums_do_not_depend_on_the_part_that_is_summed():
    """Sums of a part of the volume are made with other strides and lengths: no bit may depend on them."""
    rng = np.random.default_rng(1)
    total, value, weight = (torch.from_numpy(rng.normal(size=(37, 41, 53)).astype(np.float32)) for _ in range(3))
    whole = total.clone().addcmul_(value, weight)
    for _ in range(100):
        part = tuple(slice(*sorted(rng.choice(length + 1, 2, replace=False))) for length in total.shape)
        alone = total.clone()
        alone[part].addcmul_(value[part].clone(), weight[part])
        assert torch.equal(alone[part], whole[part])


def test_after_an_error_the_next_prediction_is_whole(ensembles, scan):
    ct, suv = scan
    grid = affine(EQUAL_MM)
    network = ensembles[1].networks[0]
    broken = []

    def sometimes(images):
        if broken:
            raise RuntimeError("no")
        return network(images)

    ensemble = LesionEnsemble(ensembles[1].model, [0], [sometimes])
    study = StudyPredictor(ensemble, ct=ct, suv=suv, affine=grid, memory_limit_bytes=2**30, mirror_axes=())
    first = study.predict(heatmap_of([], suv, grid))
    broken.append(True)
    with pytest.raises(RuntimeError, match="no"):
        study.predict(heatmap_of([("tumor", [(10, 8, 5)])], suv, grid))
    broken.clear()
    np.testing.assert_array_equal(study.predict(heatmap_of([], suv, grid)).mask, first.mask)


class Spreading(torch.nn.Module):
    """Lesion where the heatmap or the mask of the round before is, and one voxel further along the last axis."""

    def forward(self, images):
        seen = images[:, 2].clamp(min=0) + images[:, 3]
        seen[..., 1:] = seen[..., 1:] + seen[..., :-1]
        return torch.stack((torch.full_like(seen, 0.5), seen), 1)


def test_networks_are_shown_the_mask_of_the_round_before(tmp_path):
    folder = with_previous_mask(write_model(tmp_path / "fdg", channels={**CHANNELS, "3": "noNorm"}, scale=3))
    shape, grid = (20, 18, 22), affine(EQUAL_MM, (1, -1, 1))
    ct, suv = (np.random.default_rng(seed).normal(size=shape).astype(np.float32) for seed in (0, 1))
    ensemble = LesionEnsemble.load(folder, [0])
    ensemble.networks = [Spreading()]
    heatmaps = np.zeros((4, *shape), np.float32)
    heatmaps[0, 10, 9, 11] = 1
    heatmaps[2, 3, 4, 5] = 1
    expected, before = [], np.zeros(shape, bool)
    for heatmap in heatmaps:  # the network's last axis is x, which it sees turned to run to the left
        seen = (heatmap > 0) | before
        before = seen.copy()
        before[:-1] |= seen[1:]
        expected.append(before)
    options = {"mirror_axes": (), "body_box": False, "tile_step": 1.0}
    given = {"ct": ct, "suv": suv, "affine": grid, **options}
    found = [step.mask != 0 for step in ensemble.predict_steps(heatmaps=heatmaps, **given)]
    np.testing.assert_array_equal(found[0], expected[0])
    assert [mask.sum() for mask in found] == [2, 3, 6, 8]
    for mask, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, right)
    alone = ensemble.predict(heatmap=heatmaps[2], **given).mask != 0  # a round of its own has nothing before it
    assert alone.sum() == 2


def test_the_mask_of_the_round_before_is_resampled_with_the_rest(tmp_path, scan):
    folder = with_previous_mask(write_model(tmp_path / "fdg", channels={**CHANNELS, "3": "noNorm"}, scale=3))
    ct, suv = scan
    heatmap = heatmap_of([("tumor", [(12, 12, 12)])], suv, affine(OTHER_MM))
    predictor = StudyPredictor(
        LesionEnsemble.load(folder, [0]), ct=ct, suv=suv, affine=affine(OTHER_MM), memory_limit_bytes=10**9
    )
    first, second = (predictor.predict(heatmap).mask for _ in range(2))
    assert 0.01 < first.mean() < 0.99
    assert (first != second).any()
    assert predictor.kept_bytes == 0
