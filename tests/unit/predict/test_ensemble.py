"""clickpet.predict.ensemble against nnU-Net's predictor and against itself."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.geometry import Turn
from clickpet.predict.ensemble import NNUNET_OPTIONS, LesionEnsemble

SHAPE = (22, 24, 18)
EQUAL_MM, OTHER_MM = (2.0, 2.0, 3.0), (2.3, 2.2, 2.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "fdg", folds=(0, 1, 2), scale=3)


@pytest.fixture(scope="module")
def ensemble(folder):
    return LesionEnsemble.load(folder, (0, 1, 2))


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    waves = [gaussian_filter(rng.normal(size=SHAPE), 1.5).astype(np.float32) for _ in range(3)]
    return waves[0] * 4000, np.abs(waves[1]) * 60, np.clip(waves[2] * 5, -1, 1)


def affine(spacing_mm):
    return np.diag([*spacing_mm, 1.0]) * [-1, 1, 1, 1]  # LAS, as the networks see it


def given(case, affine):
    """The arguments of a prediction."""
    return dict(zip(("ct", "suv", "heatmap", "affine"), (*case, affine), strict=True))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("spacing_mm", [EQUAL_MM, OTHER_MM])
@pytest.mark.parametrize("folds", [(1,), (0, 2)])
def test_stock_mode_agrees_with_nnunets_predictor(folder, case, spacing_mm, folds):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    data = np.stack([array.T for array in case])
    truth = predictor.predict_single_npy_array(data, {"spacing": list(spacing_mm[::-1])}).T
    assert 0.05 < truth.mean() < 0.95
    ensemble = LesionEnsemble.load(folder, folds)
    assert dice(ensemble.predict(**given(case, affine(spacing_mm)), **NNUNET_OPTIONS).mask, truth) >= 0.9999
    # an untrained network is undecided about many voxels, which nnU-Net's half precision then tips over
    float32 = {**NNUNET_OPTIONS, "nnunet_arithmetic": False}
    assert dice(ensemble.predict(**given(case, affine(spacing_mm)), **float32).mask, truth) >= 0.995


@pytest.mark.parametrize("spacing_mm", [EQUAL_MM, OTHER_MM])
def test_steps_are_single_predictions(ensemble, case, spacing_mm):
    ct, suv, heatmap = case
    heatmaps = [np.zeros_like(heatmap), heatmap, heatmap.copy(), -heatmap]
    steps = list(
        ensemble.predict_steps(ct=ct, suv=suv, heatmaps=iter(heatmaps), affine=affine(spacing_mm), mirror_axes=())
    )
    for step, given in zip(steps, heatmaps, strict=True):
        alone = ensemble.predict(ct=ct, suv=suv, heatmap=given, affine=affine(spacing_mm), mirror_axes=())
        assert step.mask.tobytes() == alone.mask.tobytes()
        assert step.mask.dtype == np.uint8
        assert step.mask.shape == SHAPE
    assert "window" in steps[1].details["seconds"]
    assert "window" not in steps[2].details["seconds"]
    assert steps[1].mask.tobytes() != steps[3].mask.tobytes()


def test_steps_may_reuse_one_array(ensemble, case):
    ct, suv, heatmap = case

    def steps():
        buffer = np.zeros_like(heatmap)
        yield buffer
        buffer += heatmap
        yield buffer

    first, second = ensemble.predict_steps(ct=ct, suv=suv, heatmaps=steps(), affine=affine(EQUAL_MM), mirror_axes=())
    assert (
        second.mask.tobytes()
        == ensemble.predict(ct=ct, suv=suv, heatmap=heatmap, affine=affine(EQUAL_MM), mirror_axes=()).mask.tobytes()
    )
    assert first.mask.tobytes() != second.mask.tobytes()


def test_content_grows_with_a_heatmap_outside_of_it(folder, case):
    ct, suv, heatmap = (array.copy() for array in case)
    ct[:6] = suv[:6] = heatmap[:6] = 0
    outside = heatmap.copy()
    outside[2, 2, 2] = 1
    ensemble = LesionEnsemble.load(folder, (0,))
    steps = ensemble.predict_steps(
        ct=ct, suv=suv, heatmaps=[heatmap, outside], affine=affine(EQUAL_MM), mirror_axes=(), body_box=False
    )
    assert [step.details["network_grid"] for step in steps] == [[18, 24, 16], [18, 24, 20]]


def test_disagreement(ensemble, folder, case):
    prediction = ensemble.predict(**given(case, affine(OTHER_MM)), mirror_axes=(), disagreement="everywhere")
    spread = prediction.disagreement
    assert spread.dtype == np.float32
    assert spread.shape == SHAPE
    assert 0 < spread.max() <= 0.5
    assert prediction.details["disagreement"] == pytest.approx(spread[prediction.mask > 0].mean(), rel=0.05)
    assert ensemble.predict(**given(case, affine(OTHER_MM)), mirror_axes=()).disagreement is None
    for grid in (OTHER_MM, EQUAL_MM):
        everywhere, inside = (
            ensemble.predict(**given(case, affine(grid)), mirror_axes=(), disagreement=kind)
            for kind in ("everywhere", "lesions")
        )
        np.testing.assert_array_equal(inside.disagreement, everywhere.disagreement * everywhere.mask)
        assert 0 < np.count_nonzero(inside.disagreement) < np.count_nonzero(everywhere.disagreement)
    alone = LesionEnsemble.load(folder, (0,)).predict(
        **given(case, affine(OTHER_MM)), mirror_axes=(), disagreement="everywhere"
    )
    assert alone.disagreement is None
    assert alone.details["disagreement"] is None
    networks = [ensemble.networks[0]] * 3
    same = LesionEnsemble(ensemble.model, (0, 0, 0), networks).predict(**given(case, affine(EQUAL_MM)), mirror_axes=())
    assert same.details["disagreement"] == pytest.approx(0, abs=1e-6)


def test_details(ensemble, case):
    prediction = ensemble.predict(**given(case, affine(EQUAL_MM)), mirror_axes=(2, 1), body_box=False, tile_step=0.5)
    details = prediction.details
    assert details["mirror_axes"] == [1, 2]
    assert details["members"] == [0, 1, 2]
    assert details["tiles"] == 2 * 2 * 2
    assert details["forward_passes"] == 8 * 4 * 3
    assert details["voxels"] == 22 * 24 * 18
    assert details["network_grid"] == [18, 24, 22]
    assert details["batch"] == 8
    assert set(details["seconds"]) == {"prepare", "window", "resample_back"}


def test_axes_by_workload_and_by_training(folder, case):
    seen = []

    def axes(workload):
        seen.append(workload)
        return (0, 2)

    ensemble = LesionEnsemble.load(folder, (0, 1))
    ensemble.allowed_axes = (1, 2)
    prediction = ensemble.predict(**given(case, affine(EQUAL_MM)), mirror_axes=axes)
    assert prediction.details["mirror_axes"] == [2]
    assert (seen[0].voxels, seen[0].members, seen[0].tiles) == (22 * 24 * 18, 2, prediction.details["tiles"])


def test_body_box_looks_only_at_the_body(folder, case):
    ct, suv, heatmap = np.full((90, 80, 30), -1000, np.float32), np.zeros((90, 80, 30), np.float32), None
    ct[5:27, 6:30, 4:22] = case[0] / 10 + 40
    suv[5:27, 6:30, 4:22] = case[1]
    heatmap = np.zeros_like(suv)
    ensemble = LesionEnsemble.load(folder, (0,))
    boxed = ensemble.predict(ct=ct, suv=suv, heatmap=heatmap, affine=affine(EQUAL_MM), mirror_axes=())
    whole = ensemble.predict(ct=ct, suv=suv, heatmap=heatmap, affine=affine(EQUAL_MM), mirror_axes=(), body_box=False)
    assert boxed.details["tiles"] * 3 <= whole.details["tiles"]
    assert not boxed.mask[50:].any()
    assert boxed.mask.any()


def test_a_volume_smaller_than_the_patch(folder):
    rng = np.random.default_rng(3)
    case = [gaussian_filter(rng.normal(size=(10, 9, 30)), 1).astype(np.float32) * scale for scale in (3000, 60, 3)]
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    truth = predictor.predict_single_npy_array(np.stack([array.T for array in case]), {"spacing": [3.0, 2.0, 2.0]}).T
    ours = LesionEnsemble.load(folder, (0,)).predict(**given(case, affine(EQUAL_MM)), **NNUNET_OPTIONS)
    np.testing.assert_array_equal(ours.mask, truth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_step": 0}, r"predict\.tile_step is 0"),
        ({"tile_step": 1.5}, r"predict\.tile_step is 1\.5"),
        ({"fold_average": "median"}, "fold_average is 'median'"),
        ({"disagreement": True}, "disagreement is True"),
    ],
)
def test_senseless_options(ensemble, case, options, message):
    with pytest.raises(InputError, match=message):
        ensemble.predict(**given(case, affine(EQUAL_MM)), **options)


def test_other_shapes_are_refused(ensemble, case):
    with pytest.raises(InputError, match=r"CT .* and PET .* differ in shape"):
        ensemble.predict(**given((case[0][1:], *case[1:]), affine(EQUAL_MM)))
    with pytest.raises(InputError, match=r"heatmap .* and PET .* differ in shape"):
        ensemble.predict(**given((*case[:2], case[2][1:]), affine(EQUAL_MM)))
    with pytest.raises(InputError, match="no folds given"):
        LesionEnsemble.load("nowhere", [])


def test_batches_fit_the_memory(ensemble):
    assert ensemble.batch_for((0, 1, 2)) == 8
    configuration = ensemble.model.configuration.configuration
    small = list(configuration["patch_size"])
    try:
        configuration["patch_size"] = [192, 192, 192]
        assert ensemble.batch_for((0, 1, 2)) == 8  # 4 features
        configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [32, 64]
        assert ensemble.batch_for((0, 1, 2)) == 1
        configuration["patch_size"] = [128, 128, 128]
        assert ensemble.batch_for((0, 1, 2)) == 4
        assert ensemble.batch_for(()) == 4
    finally:
        configuration["patch_size"] = small
        configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 8]


GIB = 2**30
#: Patch 192, 32 features, half precision: 2.36 GiB a tile.
T4 = {"total": 15 * GIB, "weights": 2 * GIB}


@pytest.fixture
def card(monkeypatch):
    """A stubbed card of 15 GiB; `card["cached"]` is what torch holds without using it."""
    card = {**T4, "cached": 0}
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", lambda device: (card["total"] - card["weights"] - card["cached"], card["total"])
    )
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: card["weights"] + card["cached"])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: card["weights"])
    return card


@pytest.fixture
def large(tmp_path):
    """An ensemble that would run on a card, patch 192."""
    from clickpet.nnunet.model_folder import read_model_folder

    folder = write_model(tmp_path / "fdg", folds=(), patch=(192, 192, 192), features=(32, 64))
    return LesionEnsemble(read_model_folder(folder), [0], [None], device="cuda")


def test_batches_fit_the_card(card, large):
    assert large.batch_for((0, 1, 2)) == 2
    card["total"] = 80 * GIB
    assert large.batch_for((0, 1, 2)) == 8
    card["total"] = 7 * GIB
    assert large.batch_for((0, 1, 2)) == 1


@pytest.mark.parametrize("cached", [0, 5 * GIB, 12 * GIB])
def test_what_torch_has_cached_counts_as_free(card, large, cached):
    card["cached"] = cached
    assert large.batch_for((0, 1, 2)) == 2


def test_the_batch_is_chosen_once_a_case(folder, case, monkeypatch):
    chosen = []
    monkeypatch.setattr(LesionEnsemble, "batch_for", lambda self, axes: chosen.append(axes) or 2)
    ct, suv, heatmap = (array.copy() for array in case)
    ct[:6] = suv[:6] = heatmap[:6] = 0
    outside = heatmap.copy()
    outside[2, 2, 2] = 1  # the content grows: all is prepared anew
    ensemble = LesionEnsemble.load(folder, (0,))
    steps = ensemble.predict_steps(
        ct=ct, suv=suv, heatmaps=[heatmap, 0 * heatmap, outside], affine=affine(EQUAL_MM), mirror_axes=(2,)
    )
    assert [step.details["batch"] for step in steps] == [2, 2, 2]
    assert chosen == [(2,)]


class Cramped(torch.nn.Module):
    """A network on a device whose memory holds `most` tiles."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most, self.sizes = network, most, []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.network(images)


@pytest.mark.parametrize("most", [1, 2, 3, 8])
@pytest.mark.parametrize("mirror_axes", [(), (2,), (0, 1, 2)])
def test_out_of_memory_halves_the_batch_and_changes_nothing_else(ensemble, case, capsys, most, mirror_axes):
    ct, suv, heatmap = case
    study = {"ct": ct, "suv": suv, "heatmaps": [heatmap, -heatmap], "affine": affine(OTHER_MM)}
    cramped = [Cramped(network, most) for network in ensemble.networks]
    cramped[0].most = 8  # the first network of the ensemble fits: its part must not count twice
    steps = list(
        LesionEnsemble(ensemble.model, (0, 1, 2), cramped).predict_steps(
            **study, mirror_axes=mirror_axes, batch=8, disagreement="everywhere"
        )
    )
    batch = {1: 1, 2: 2, 3: 2, 8: 8}[most]
    assert [step.details["batch"] for step in steps] == [batch, batch]
    assert sum(size > most for size in cramped[1].sizes) == {1: 3, 2: 2, 3: 2, 8: 0}[most]  # once a size in all
    assert capsys.readouterr().out.count("going on with") == {1: 3, 2: 2, 3: 2, 8: 0}[most]
    expected = ensemble.predict_steps(**study, mirror_axes=mirror_axes, batch=batch, disagreement="everywhere")
    for step, right in zip(steps, expected, strict=True):
        assert step.mask.tobytes() == right.mask.tobytes()
        assert step.disagreement.tobytes() == right.disagreement.tobytes()
        assert step.details["disagreement"] == right.details["disagreement"]


def test_a_tile_that_does_not_fit_is_one_clear_line(ensemble, case):
    cramped = LesionEnsemble(ensemble.model, (0,), [Cramped(ensemble.networks[0], 0)])
    with pytest.raises(InputError, match=r"memory of cpu does not suffice for one tile of 16 x 16 x 16 voxels; free"):
        cramped.predict(**given(case, affine(EQUAL_MM)), batch=4)


def test_other_errors_of_a_network_are_not_taken_for_too_little_memory(ensemble, case):
    def broken(images):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        LesionEnsemble(ensemble.model, (0,), [broken]).predict(**given(case, affine(EQUAL_MM)), batch=4)


@pytest.mark.parametrize("axes", ["LAS", "RAS", "LPS", "LAI", "PIR", "SAR", "ASL", "IPL", "RSP"])
@pytest.mark.parametrize("spacing_mm", [EQUAL_MM, OTHER_MM])
def test_the_order_of_axes_changes_nothing(ensemble, case, spacing_mm, axes):
    """The same study stored with other axes gives the same mask and map, in its own order."""
    options = {"tile_step": 0.6, "mirror_axes": (2,), "disagreement": "everywhere"}
    right = ensemble.predict(**given(case, affine(spacing_mm)), **options)
    assert right.mask.any()
    turn = Turn.between(affine(spacing_mm), axes)
    own = turn.affine(SHAPE, affine(spacing_mm))
    found = ensemble.predict(**given([turn.array(array) for array in case], own), **options)
    assert found.mask.shape == turn.array(case[0]).shape
    np.testing.assert_array_equal(found.mask, turn.array(right.mask))
    np.testing.assert_array_equal(found.disagreement, turn.array(right.disagreement))
    np.testing.assert_array_equal(found.affine, own)
    assert found.details["orientation"] == axes
    numbers = ("tiles", "forward_passes", "network_grid", "disagreement", "mirror_axes", "voxels")
    assert {name: found.details[name] for name in numbers} == {name: right.details[name] for name in numbers}


def test_a_tilted_study_is_seen_as_the_axes_it_is_nearest_to(ensemble, case):
    angle = np.deg2rad(10)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    right = ensemble.predict(**given(case, affine(EQUAL_MM)), mirror_axes=())
    np.testing.assert_array_equal(
        ensemble.predict(**given(case, tilt @ affine(EQUAL_MM)), mirror_axes=()).mask, right.mask
    )


class Broken(torch.nn.Module):
    """A network that gives a number that is none in one voxel of a tile."""

    def __init__(self, network, value, channel):
        super().__init__()
        self.network, self.value, self.channel = network, value, channel

    def forward(self, images):
        logits = self.network(images).clone()
        logits[-1, self.channel, 3, 4, 5] = self.value
        return logits


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("options", [{}, {"fold_average": "logits"}, NNUNET_OPTIONS])
def test_logits_that_are_not_finite_are_refused(ensemble, case, value, channel, options):
    """One such fold would empty the mask of the whole ensemble, or fill it."""
    networks = [*ensemble.networks[:2], Broken(ensemble.networks[2], value, channel)]
    broken = LesionEnsemble(ensemble.model, (0, 1, 2), networks)
    with pytest.raises(
        InputError, match=r"fold_2/checkpoint_final\.pth: fold 2 gave values that are not finite"
    ) as caught:
        broken.predict(**given(case, affine(EQUAL_MM)), **options)
    assert "leave it out of 'folds'" in str(caught.value)


@pytest.mark.parametrize("average", ["softmax", "logits"])
@pytest.mark.parametrize("spacing_mm", [EQUAL_MM, OTHER_MM])
def test_threshold_and_probability(ensemble, case, spacing_mm, average):
    options = {"mirror_axes": (), "fold_average": average}
    usual = ensemble.predict(**given(case, affine(spacing_mm)), **options)
    assert usual.probability is None
    found = ensemble.predict(**given(case, affine(spacing_mm)), **options, save_probability=True)
    probability = found.probability
    assert (probability.dtype, probability.shape) == (np.float16, SHAPE)
    assert 0 <= probability.min() < 0.3
    assert 0.7 < probability.max() <= 1
    assert found.mask.tobytes() == usual.mask.tobytes()
    masks = {}
    for threshold in (0.3, 0.5, 0.7):
        masks[threshold] = ensemble.predict(**given(case, affine(spacing_mm)), **options, threshold=threshold).mask
        sure = np.abs(probability.astype(float) - threshold) > 1e-3  # beyond what half precision rounds
        np.testing.assert_array_equal(masks[threshold][sure], (probability > threshold)[sure])
    assert masks[0.5].tobytes() == usual.mask.tobytes()
    assert np.all(masks[0.3] >= masks[0.5])
    assert np.all(masks[0.5] >= masks[0.7])
    assert masks[0.3].sum() > masks[0.5].sum() > masks[0.7].sum()


def test_the_disagreement_told_is_that_of_the_mask_at_another_threshold(ensemble, case):
    options = {"mirror_axes": (), "disagreement": "everywhere", "threshold": 0.4}
    found = ensemble.predict(**given(case, affine(EQUAL_MM)), **options)
    assert found.details["disagreement"] == pytest.approx(found.disagreement[found.mask > 0].mean(), rel=0.05)


@pytest.mark.parametrize("threshold", [0, 1, -0.2])
def test_a_threshold_that_is_no_probability_is_refused(ensemble, case, threshold):
    with pytest.raises(InputError, match=r"predict\.threshold is"):
        ensemble.predict(**given(case, affine(EQUAL_MM)), threshold=threshold)


def test_the_networks_turn_brings_the_probability_back_in_the_studys_axes(ensemble, case):
    options = {"mirror_axes": (), "save_probability": True}
    turned = np.diag([2.0, -2.0, 3.0, 1.0])  # right, posterior, superior
    turn = Turn.between(turned)
    right = ensemble.predict(**given([turn.array(array) for array in case], turn.affine(SHAPE, turned)), **options)
    found = ensemble.predict(**given(case, turned), **options)
    np.testing.assert_array_equal(turn.array(found.probability), right.probability)
