"""Sliding-window inference of an ensemble: tiles over a volume, Gaussian weights, and one running weighted mean.

Tile positions and weights are nnU-Net's (tile steps spread evenly, Gaussian of an eighth of the tile),
but the Gaussian is kept as three profiles: the product over a regular grid of tiles stays a product, so
neither the importance map nor the sum of weights ever becomes a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from clickpet.errors import InputError
from clickpet.nnunet.nonzero_box import Box
from clickpet.predict.accelerator import is_out_of_memory, mixed_precision, release_cache
from clickpet.predict.finite_logits import require_finite
from clickpet.predict.mirroring import mirrorings


@dataclass(frozen=True)
class Tiling:
    """Positions of tiles of one size along each axis; the tiles are all their combinations.

    starts : per axis, first voxel of each tile; negative where the volume is smaller than a tile, which is
    then centred and padded with zeros, as nnU-Net does.  tile : size in voxels.  shape : of the volume.
    """

    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    tile: tuple[int, int, int]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return int(np.prod([len(starts) for starts in self.starts]))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return iter((z, y, x) for z in self.starts[0] for y in self.starts[1] for x in self.starts[2])

    @property
    def box(self) -> Box:
        """The part of the volume that the tiles cover."""
        return tuple(
            slice(max(0, starts[0]), min(length, starts[-1] + tile))
            for starts, tile, length in zip(self.starts, self.tile, self.shape, strict=True)
        )


def tile_starts(length: int, tile: int, step: float) -> list[int]:
    """First voxels of the fewest tiles, at most `step` of a tile apart and evenly spread, over `length` >= `tile`."""
    count = int(np.ceil((length - tile) / (tile * step))) + 1
    return [round((length - tile) / (count - 1) * index) for index in range(count)] if count > 1 else [0]


def tiling(shape: Sequence[int], tile: Sequence[int], step: float, box: Box | None = None) -> Tiling:
    """Tiles over `box` of a volume of `shape` (None: all of it, nnU-Net's own tiles).

    A box smaller than a tile is widened to it inside the volume.
    """
    starts = []
    for axis, (length, size) in enumerate(zip(shape, tile, strict=True)):
        first, last = (0, length) if box is None else (box[axis].start, box[axis].stop)
        if length < size:
            starts.append((-((size - length) // 2),))
            continue
        if last - first < size:
            first = min(max(0, first - (size - (last - first)) // 2), length - size)
            last = first + size
        starts.append(tuple(first + start for start in tile_starts(last - first, size, step)))
    return Tiling(tuple(starts), tuple(tile), tuple(shape))


def importance_profiles(tile: Sequence[int], *, floor: float = 1e-6) -> list[np.ndarray]:
    """The three factors (float64) of nnU-Net's Gaussian importance map, whose peak is 1 at the tile's centre.

    floor : least factor, so that no voxel is without weight (the Gaussian is cut off at four sigma).
    """
    profiles = []
    for size in tile:
        peak = np.zeros(size)
        peak[size // 2] = 1
        profile = gaussian_filter1d(peak, size / 8, mode="constant")
        profile /= profile.max()
        profiles.append(np.maximum(profile, floor))
    return profiles


def summed_profiles(tiles: Tiling) -> list[np.ndarray]:
    """Per axis, the sum of the tiles' profiles at each voxel of `tiles.box`: their product is the sum of weights."""
    sums = []
    for starts, profile, part in zip(tiles.starts, importance_profiles(tiles.tile), tiles.box, strict=True):
        total = np.zeros(part.stop - part.start)
        for start in starts:
            inside = slice(max(start, part.start), min(start + len(profile), part.stop))
            total[inside.start - part.start : inside.stop - part.start] += profile[
                inside.start - start : inside.stop - start
            ]
        sums.append(total)
    return sums


@dataclass(frozen=True)
class SlidingWindowOutput:
    """Output of the ensemble on `box` of the network's grid.

    lesion : float32 (z, y, x): mean over folds of the probability difference p(lesion) - p(background), or of the
    logit difference; above 0 the ensemble's probability of lesion is above one half.
    spread : float32, standard deviation of p(lesion) over the folds, or None.
    mean_spread : mean of the spread where the tiles see lesion, by their weight in the result; 0 without lesion.
    batch : tiles in one forward pass that the memory sufficed for.
    """

    lesion: np.ndarray
    spread: np.ndarray | None
    mean_spread: float
    box: Box
    batch: int


@torch.inference_mode()
def sliding_window_inference(
    networks: Sequence[torch.nn.Module],
    read: Callable[[Box], np.ndarray],
    tiles: Tiling,
    *,
    mirror_axes: Sequence[int] = (),
    batch: int = 1,
    average: str = "softmax",
    with_spread: bool = False,
    lesion_above: float = 0.0,
    device: str | torch.device = "cpu",
) -> SlidingWindowOutput:
    """Run an ensemble over the tiles of a volume.

    networks : give two logits (n, 2, z, y, x) for (n, channels, z, y, x);  read : gives the float32 input
    (channels, z, y, x) of a box;  batch : tiles and mirrored tiles in one forward pass;  average : over folds,
    "softmax" or "logits";  with_spread : also make the map;  lesion_above : difference that lesions exceed, for
    `mean_spread`.

    A tile is read and flipped once for all folds; logits of a fold are averaged over its mirrorings first.
    Memory: one float32 volume of `tiles.box` (two `with_spread`); per tile of a group its input and a float32
    tile per fold; and what a forward pass of `batch` takes. Same result bit for bit at the same number of
    threads on a CPU. Where memory does not suffice the batch is halved, for the rest of the tiles too; InputError
    if it does not suffice for one tile.
    """
    device = torch.device(device)
    flips = mirrorings(mirror_axes)
    shares = _shares(tiles)
    extent = [part.stop - part.start for part in tiles.box]
    wanted = (True, with_spread and len(networks) > 1)
    total, spread_total = (torch.zeros(extent, device=device) if one else None for one in wanted)
    sums = [0.0, 0.0]
    starts = list(tiles)
    while starts:
        here = starts[: max(1, batch // len(flips))]
        given = [torch.from_numpy(tile_of(read, start, tiles)) for start in here]
        differences = _differences_if_they_fit(networks, given, flips, batch, device)
        if differences is None:
            batch = _half(batch, tiles.tile, device)
            continue
        del starts[: len(here)], given
        for index, start in enumerate(here):
            value, probabilities = _combined(differences[:, index], average)
            inner, outer = overlap(start, tiles)
            z, y, x = (torch.from_numpy(share[first]).to(device) for share, first in zip(shares, start, strict=True))
            weight = z[:, None, None] * y[:, None] * x
            total[outer].addcmul_(value[inner], weight)
            if probabilities is not None:
                probabilities = probabilities[(slice(None), *inner)]
                if spread_total is not None:
                    spread_total[outer].addcmul_(_spread(probabilities), weight)
                lesion = value[inner] > lesion_above
                weight = weight[lesion]  # from here on the lesion alone, which is little of a tile
                sums[0] += _sum(weight)
                sums[1] += _sum(weight.mul_(_spread(probabilities, lesion)))
                del lesion
            del value, probabilities, weight
        del differences
    spread_map = None if spread_total is None else spread_total.cpu().numpy()
    mean_spread = sums[1] / sums[0] if sums[0] else 0.0
    return SlidingWindowOutput(total.cpu().numpy(), spread_map, mean_spread, tiles.box, batch)


def _differences_if_they_fit(networks, given, flips, batch: int, device: torch.device) -> torch.Tensor | None:
    """`_differences` of tiles that go to `device`; None, and nothing is kept, where its memory does not suffice."""
    try:
        return _differences(networks, [tile.to(device) for tile in given], flips, batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


def _half(batch: int, tile: Sequence[int], device: torch.device) -> int:
    """Half of a batch that did not fit, once the memory that torch has cached is free; InputError for half of 1."""
    if batch == 1:
        raise InputError(
            f"the memory of {device.type} does not suffice for one tile of {' x '.join(map(str, tile))} voxels",
            mend="free it of other programs, or take a card with more memory",
        )
    release_cache(device)
    print(f"{batch} tiles at once do not fit the memory of {device.type}: going on with {batch // 2}")
    return batch // 2


def _sum(values: torch.Tensor) -> float:
    """Sum in float64, which not every device has."""
    return float(values.cpu().sum(dtype=torch.float64))


def _shares(tiles: Tiling) -> list[dict[int, np.ndarray]]:
    """Per axis and start, the tile's part in the weighted mean over tiles, float32, where it is in the volume."""
    shares = []
    sums = zip(importance_profiles(tiles.tile), summed_profiles(tiles), tiles.starts, tiles.box, strict=True)
    for profile, total, starts, part in sums:
        of_axis = {}
        for start in starts:
            low, high = max(start, part.start), min(start + len(profile), part.stop)
            share = profile[low - start : high - start] / total[low - part.start : high - part.start]
            of_axis[start] = share.astype(np.float32)
        shares.append(of_axis)
    return shares


def _differences(networks, given: list[torch.Tensor], flips, batch: int) -> torch.Tensor:
    """Logit differences (folds, tiles, z, y, x) of the tiles `given`, averaged over their mirrorings."""
    sums = torch.zeros((len(networks), len(given), *given[0].shape[1:]), device=given[0].device)
    units = [(index, [axis + 1 for axis in axes]) for index in range(len(given)) for axes in flips]
    for first in range(0, len(units), batch):
        part = units[first : first + batch]
        if len(part) == 1 and not part[0][1]:
            images = given[part[0][0]][None]
        else:
            images = torch.stack([given[index].flip(axes) if axes else given[index] for index, axes in part])
        for fold, network in enumerate(networks):
            with mixed_precision(images.device):
                logits = network(images)
            differences = logits[:, 1].float().sub_(logits[:, 0])
            for (index, axes), difference in zip(part, differences, strict=True):
                sums[fold, index] += difference.flip([axis - 1 for axis in axes]) if axes else difference
            del logits, differences, difference
        del images
    require_finite(sums)
    return sums.div_(len(flips))


def _combined(differences: torch.Tensor, average: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Mean over folds of the (probability or logit) difference, and p(lesion) of each fold; overwrites.

    The probabilities are None where there is one fold: nothing to spread.
    """
    mean_logit = differences.mean(0) if average == "logits" else None
    if len(differences) == 1 and mean_logit is not None:
        return mean_logit, None
    probabilities = differences.sigmoid_()
    mean = probabilities.mean(0).mul_(2).sub_(1) if mean_logit is None else mean_logit
    return mean, probabilities if len(probabilities) > 1 else None


def _spread(probabilities: torch.Tensor, where=...) -> torch.Tensor:
    """Standard deviation over the first axis of what `where` picks from the others; one fold is picked at a time."""
    mean = sum(probability[where] for probability in probabilities) / len(probabilities)
    spread = torch.zeros_like(mean)
    for probability in probabilities:
        spread.add_((probability[where] - mean).square_())
    return spread.div_(len(probabilities)).sqrt_()


def tile_of(read: Callable[[Box], np.ndarray], start: Sequence[int], tiles: Tiling) -> np.ndarray:
    """The input of the tile at `start`, (channels, z, y, x), zero where the tile leaves the volume."""
    inner, outer = overlap(start, tiles)
    part = read(tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(outer, tiles.box, strict=True)))
    if part.shape[1:] == tiles.tile:
        return part
    cut = np.zeros((len(part), *tiles.tile), dtype=np.float32)
    cut[(slice(None), *inner)] = part
    return cut


def overlap(start: Sequence[int], tiles: Tiling) -> tuple[Box, Box]:
    """The part of the tile at `start` that is in the volume: as slices of the tile and of the covered box."""
    inner, outer = [], []
    for first, size, part in zip(start, tiles.tile, tiles.box, strict=True):
        low, high = max(part.start, first), min(part.stop, first + size)
        inner.append(slice(low - first, high - first))
        outer.append(slice(low - part.start, high - part.start))
    return tuple(inner), tuple(outer)
