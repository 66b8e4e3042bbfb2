"""Tiles over a volume: their positions, Gaussian weights, and which part of the volume each covers.

Tile positions and weights are nnU-Net's (tile steps spread evenly, Gaussian of an eighth of the tile),
but the Gaussian is kept as three profiles: the product over a regular grid of tiles stays a product, so
neither the importance map nor the sum of weights ever becomes a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from clickpet.nnunet.nonzero_box import Box

#: First voxels of a tile along z, y, x.
Start = tuple[int, int, int]


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


def weight_shares(tiles: Tiling) -> list[dict[int, np.ndarray]]:
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
