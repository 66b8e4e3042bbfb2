"""Tiles over a volume, their weights, and one running sum of what the ensemble says about each voxel.

Tile positions and weights are nnU-Net's (tile steps spread evenly, Gaussian of an eighth of the tile),
but the Gaussian is kept as three profiles: the product over a regular grid of tiles stays a product, so
neither the importance map nor the sum of weights ever becomes a volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from clickpet.content_box import Box
from clickpet.mirroring import mirrorings


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
class Window:
    """What a sliding window found, on `box` of the network's grid.

    lesion : float32 (z, y, x), above 0 where the ensemble sees lesion: mean over folds of the probability
    difference p(lesion) - p(background), or of the logit difference.
    spread : float32, standard deviation of p(lesion) over the folds, or None.
    """

    lesion: np.ndarray
    spread: np.ndarray | None
    box: Box


@torch.inference_mode()
def slide(
    networks: Sequence[torch.nn.Module],
    image: torch.Tensor,
    tiles: Tiling,
    *,
    mirror_axes: Sequence[int] = (),
    batch: int = 1,
    average: str = "softmax",
    with_spread: bool = False,
    device: str | torch.device = "cpu",
) -> Window:
    """Run an ensemble over `tiles`.

    networks : give two logits (n, 2, z, y, x) for (n, channels, z, y, x);  image : float32 (channels, z, y, x) of
    `tiles.box` on the CPU;  batch : tiles and mirrored tiles in one forward pass;  average : over folds, "softmax"
    or "logits".

    A tile is cut and flipped once for all folds; logits of a fold are averaged over its mirrorings first.
    Memory: one float32 volume of `tiles.box` (two `with_spread`) and, per tile of a batch, its input twice
    and one float32 tile per fold. Same result bit for bit at the same number of threads on a CPU.
    """
    device = torch.device(device)
    flips = mirrorings(mirror_axes)
    weight = [torch.from_numpy(profile).float().to(device) for profile in importance_profiles(tiles.tile)]
    weight = weight[0][:, None, None] * weight[1][:, None] * weight[2]
    extent = [part.stop - part.start for part in tiles.box]
    sums = torch.zeros((2 if with_spread else 1, *extent), dtype=torch.float32, device=device)
    starts = list(tiles)
    group = max(1, batch // len(flips))
    for first in range(0, len(starts), group):
        here = starts[first : first + group]
        differences = _differences(networks, image, here, tiles, flips, batch, device)
        for index, start in enumerate(here):
            inner, outer = overlap(start, tiles)
            for total, value in zip(sums, _combined(differences[:, index], average, with_spread), strict=True):
                total[outer] += value.mul_(weight)[inner]
    for axis, total in enumerate(summed_profiles(tiles)):
        sums /= torch.from_numpy(total).float().to(device).view([-1 if axis == other else 1 for other in range(3)])
    lesion, *spread = sums.cpu().numpy()
    return Window(lesion, spread[0] if spread else None, tiles.box)


def _differences(networks, image, starts, tiles, flips, batch, device) -> torch.Tensor:
    """Logit differences (folds, tiles, z, y, x) of the tiles at `starts`, averaged over their mirrorings."""
    sums = torch.zeros((len(networks), len(starts), *tiles.tile), dtype=torch.float32, device=device)
    cut = [tile_of(image, start, tiles).to(device) for start in starts]
    units = [(index, axes) for index in range(len(starts)) for axes in flips]
    for first in range(0, len(units), batch):
        part = units[first : first + batch]
        given = torch.stack([cut[index].flip([axis + 1 for axis in axes]) for index, axes in part])
        for fold, network in enumerate(networks):
            with torch.autocast(device.type, enabled=device.type == "cuda"):
                logits = network(given)
            for (index, axes), (background, lesion) in zip(part, logits, strict=True):
                sums[fold, index] += (lesion.float() - background.float()).flip(axes)
    return sums.div_(len(flips))


def _combined(differences: torch.Tensor, average: str, with_spread: bool) -> list[torch.Tensor]:
    """Mean over folds of the (probability or logit) difference and, if wanted, the spread of the probability."""
    if average == "logits":
        mean = differences.mean(0)
        if not with_spread:
            return [mean]
    probability = differences.sigmoid()
    combined = [mean if average == "logits" else probability.mean(0).mul_(2).sub_(1)]
    if with_spread:
        combined.append(probability.std(0, correction=0))
    return combined


def tile_of(image: torch.Tensor, start: Sequence[int], tiles: Tiling) -> torch.Tensor:
    """The tile at `start` of `image` (channels, then `tiles.box`), zero where it leaves the volume."""
    inner, outer = overlap(start, tiles)
    part = image[(slice(None), *outer)]
    if part.shape[1:] == tiles.tile:
        return part
    cut = torch.zeros((len(image), *tiles.tile), dtype=image.dtype)
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
