"""clickpet.predict.sliding_window against nnU-Net's tiles and weights and against the plain definition."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from clickpet.predict.nnunet_sliding_window import _half_importance
from clickpet.predict.sliding_window import sliding_window_inference
from clickpet.predict.tiling import Tiling, importance_profiles, summed_profiles, tile_starts, tiling

TILE = (8, 6, 10)
torch.set_num_threads(1)  # tiny tiles: threads would only wait for each other


class Tiny(torch.nn.Module):
    """Sees its neighbourhood and where in the tile it is: mirrored and shifted tiles give other logits."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = torch.nn.Conv3d(4, 2, 3, padding=1)

    def forward(self, x):
        ramp = torch.linspace(-1, 1, x[0, 0].numel()).view(1, 1, *x.shape[2:]).expand(len(x), -1, -1, -1, -1)
        return 3 * self.conv(torch.cat([x, ramp], 1))


NETWORKS = [Tiny(seed).eval() for seed in range(3)]


@given(length=st.integers(1, 700), tile=st.integers(1, 200), step=st.floats(0.05, 1))
def test_tile_starts_are_those_of_nnunet(length, tile, step):
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    assume(length >= tile)
    assert tile_starts(length, tile, step) == compute_steps_for_sliding_window((length,), (tile,), step)[0]


@pytest.mark.parametrize("tile", [(16, 16, 16), (32, 24, 40), (7, 12, 9), (64, 48, 16)])
def test_importance_is_that_of_nnunet(tile):
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    stock = compute_gaussian(tile, value_scaling_factor=10, device=torch.device("cpu")).double().numpy()
    z, y, x = importance_profiles(tile)
    ours = 10 * z[:, None, None] * y[:, None] * x
    assert (ours > 0).all()
    normal = stock > 2**-14
    np.testing.assert_allclose(ours[normal], stock[normal], rtol=2**-11)
    assert np.abs(ours - stock).max() < 2**-11 * 10
    np.testing.assert_array_equal(_half_importance(tile).double().numpy(), stock)


@settings(deadline=None)
@given(shape=st.tuples(*[st.integers(3, 40)] * 3), step=st.floats(0.2, 1), data=st.data())
def test_tiles_cover_the_box_and_stay_in_the_volume(shape, step, data):
    box = []
    for length in shape:
        start = data.draw(st.integers(0, length - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, length))))
    tiles = tiling(shape, TILE, step, tuple(box))
    for axis, (length, size) in enumerate(zip(shape, TILE, strict=True)):
        starts, part = tiles.starts[axis], tiles.box[axis]
        assert part.start <= box[axis].start
        assert box[axis].stop <= part.stop
        if length < size:
            assert starts == (-((size - length) // 2),)
            assert part == slice(0, length)
        else:
            assert starts[0] >= 0
            assert starts[-1] + size <= length
            assert part.stop - part.start == max(size, box[axis].stop - box[axis].start)
    assert len(tiles) == len(list(tiles))


def test_no_box_gives_the_stock_tiles():
    assert tiling((40, 30, 20), TILE, 0.5) == tiling(
        (40, 30, 20), TILE, 0.5, (slice(0, 40), slice(0, 30), slice(0, 20))
    )


def test_summed_profiles_are_the_sum_of_weights():
    tiles = tiling((19, 5, 33), TILE, 0.6)
    weight = np.einsum("i,j,k->ijk", *importance_profiles(TILE))
    total = np.zeros((40, 40, 60))
    for z, y, x in tiles:
        total[z + 10 : z + 18, y + 10 : y + 16, x + 10 : x + 20] += weight
    np.testing.assert_allclose(np.einsum("i,j,k->ijk", *summed_profiles(tiles)), total[10:29, 10:15, 10:43])


def reader(image):
    """Boxes of an image that is there as a whole."""
    return lambda box: image.numpy()[(slice(None), *box)]


def plainly(networks, image, tiles, mirror_axes, average):
    """The definition: pad, cut, mirror one at a time, weigh, sum, divide; float64."""
    pads = [
        (max(0, -starts[0]), max(0, starts[-1] + size - length))
        for starts, size, length in zip(tiles.starts, tiles.tile, tiles.shape, strict=True)
    ]
    padded = functional.pad(image, [pad for pair in pads[::-1] for pad in pair])
    weight = np.einsum("i,j,k->ijk", *importance_profiles(tiles.tile))
    sums = np.zeros((2, *padded.shape[1:]))
    total = np.zeros(padded.shape[1:])
    for start in tiles:
        where = tuple(
            slice(first + pad, first + pad + size)
            for first, (pad, _), size in zip(start, pads, tiles.tile, strict=True)
        )
        differences = []
        for network in networks:
            logits = torch.zeros(1, 2, *tiles.tile)
            combos = [axes for n in range(4) for axes in itertools.combinations(mirror_axes, n)]
            for axes in combos:
                axes = [axis + 2 for axis in axes]
                with torch.inference_mode():
                    logits += network(padded[(slice(None), *where)][None].flip(axes)).flip(axes) / len(combos)
            differences.append((logits[0, 1] - logits[0, 0]).double().numpy())
        probabilities = 1 / (1 + np.exp(-np.array(differences)))
        mean = 2 * probabilities.mean(0) - 1 if average == "softmax" else np.mean(differences, 0)
        sums[0][where] += weight * mean
        sums[1][where] += weight * probabilities.std(0)
        total[where] += weight
    inner = tuple(slice(pad, pad + length) for (pad, _), length in zip(pads, tiles.shape, strict=True))
    with np.errstate(invalid="ignore"):
        return (sums / total)[(slice(None), *inner)]


@pytest.mark.parametrize("shape", [(19, 15, 23), (5, 15, 10), (8, 6, 10)])
@pytest.mark.parametrize(
    ("mirror_axes", "batch"), [((), 1), ((), 3), ((2,), 2), ((1, 2), 3), ((0, 1, 2), 8), ((0, 1, 2), 20)]
)
@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_inference_is_the_definition(shape, mirror_axes, batch, average):
    image = torch.randn(3, *shape, generator=torch.Generator().manual_seed(5))
    tiles = tiling(shape, TILE, 0.6)
    window = sliding_window_inference(
        NETWORKS, reader(image), tiles, mirror_axes=mirror_axes, batch=batch, average=average, with_spread=True
    )
    lesion, spread = plainly(NETWORKS, image, tiles, mirror_axes, average)
    np.testing.assert_allclose(window.lesion, lesion, atol=2e-5)
    np.testing.assert_allclose(window.spread, spread, atol=2e-5)
    assert window.lesion.dtype == window.spread.dtype == np.float32
    without = sliding_window_inference(
        NETWORKS, reader(image), tiles, mirror_axes=mirror_axes, batch=batch, average=average
    )
    assert without.spread is None
    assert without.lesion.tobytes() == window.lesion.tobytes()
    assert window.mean_spread == without.mean_spread == pytest.approx(spread[lesion > 0].mean(), rel=0.2)


def test_inference_over_a_box_reads_only_the_box():
    image = torch.randn(3, 30, 20, 25, generator=torch.Generator().manual_seed(5))
    tiles = tiling(image.shape[1:], TILE, 0.6, (slice(9, 21), slice(4, 8), slice(3, 20)))
    assert tiles.box == (slice(9, 21), slice(3, 9), slice(3, 20))
    outside = image.clone()
    outside[(slice(None), *tiles.box)] = 0
    window = sliding_window_inference(NETWORKS, reader(image - outside), tiles, mirror_axes=(2,), batch=2)
    assert window.spread is None
    lesion, _ = plainly(NETWORKS, image, tiles, (2,), "softmax")
    np.testing.assert_allclose(window.lesion, lesion[tiles.box], atol=2e-5)


def test_inference_is_the_same_bit_for_bit():
    image = torch.randn(3, 19, 15, 23, generator=torch.Generator().manual_seed(5))
    tiles = tiling(image.shape[1:], TILE, 0.6)
    first, second = (
        sliding_window_inference(NETWORKS, reader(image), tiles, mirror_axes=(0, 1, 2), batch=4) for _ in range(2)
    )
    assert first.lesion.tobytes() == second.lesion.tobytes()


def test_tiling_counts_its_tiles():
    assert len(Tiling(((0, 4), (0,), (0, 3, 6)), (8, 6, 10), (12, 6, 16))) == 6


class WithoutFloat64(torch.overrides.TorchFunctionMode):
    """Every tensor is on a device that has no float64 and no autocast (as Apple's GPUs) until `.cpu()` is called."""

    def __torch_function__(self, function, types, given=(), named=None):
        named = named or {}
        result = function(*given, **named)
        if function is torch.Tensor.cpu:
            result = result.clone()
            result.on_cpu = True
        elif isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            on_cpu = any(getattr(one, "on_cpu", False) for one in given)
            assert on_cpu, "this device has no float64"
        return result


def test_a_device_needs_neither_float64_nor_autocast(monkeypatch):
    image = torch.randn(3, 19, 15, 23, generator=torch.Generator().manual_seed(5))
    tiles = tiling(image.shape[1:], TILE, 0.6)
    right = sliding_window_inference(NETWORKS, reader(image), tiles, mirror_axes=(2,), batch=2, with_spread=True)

    def no_autocast(*given, **named):
        raise RuntimeError("unsupported autocast device_type")

    monkeypatch.setattr(torch, "autocast", no_autocast)
    with WithoutFloat64():
        with pytest.raises(AssertionError, match="no float64"):
            torch.zeros(3).sum(dtype=torch.float64)
        window = sliding_window_inference(NETWORKS, reader(image), tiles, mirror_axes=(2,), batch=2, with_spread=True)
    assert window.lesion.tobytes() == right.lesion.tobytes()
    assert window.spread.tobytes() == right.spread.tobytes()
    assert window.mean_spread == right.mean_spread > 0
