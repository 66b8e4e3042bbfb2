"""What an ensemble gives for single tiles: mean over its folds, each averaged over its mirrorings, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch

from clickpet.errors import InputError
from clickpet.nnunet.nonzero_box import Box
from clickpet.predict.accelerator import is_out_of_memory, mixed_precision, release_cache
from clickpet.predict.finite_logits import require_finite
from clickpet.predict.mirroring import mirrorings
from clickpet.predict.tiling import Start, Tiling, overlap, tile_of, weight_shares

#: All of a tile's output.
WHOLE = (slice(None),) * 3


@dataclass(frozen=True, eq=False)
class TileOutput:
    """The ensemble's answer on the part of a tile that is in the volume.

    value : float32 (z, y, x), mean over folds of p(lesion) - p(background), or of the logit difference;
    spread : float32, standard deviation of p(lesion) over the folds, or None;  lesion_weight, lesion_spread : sums over
    the tile's lesion of its share in the weighted mean over tiles, and of that times the spread.
    """

    value: torch.Tensor
    spread: torch.Tensor | None
    lesion_weight: float
    lesion_spread: float

    @property
    def n_bytes(self) -> int:
        """Memory of the tensors."""
        return self.value.nbytes + (0 if self.spread is None else self.spread.nbytes)

    def kept(self) -> TileOutput:
        """The same in memory of its own on the CPU."""
        spread = None if self.spread is None else self.spread.cpu().contiguous()
        return replace(self, value=self.value.cpu().contiguous(), spread=spread)

    def same_bits(self, other: TileOutput) -> bool:
        """Whether the other one holds the same numbers, every bit."""
        pair = (self.spread, other.spread)
        return (
            torch.equal(self.value, other.value)
            and (None in pair or torch.equal(*pair))
            and (self.lesion_weight, self.lesion_spread) == (other.lesion_weight, other.lesion_spread)
        )


class EnsembleTiles:
    """An ensemble on the tiles of one volume.

    networks : give two logits (n, 2, z, y, x) for (n, channels, z, y, x);  read : gives the float32 input
    (channels, z, y, x) of a box;  batch : tiles and mirrored tiles in one forward pass, halved where memory does not
    suffice;  average : over folds, "softmax" or "logits";  with_spread : also make the map of the spread;
    lesion_above : difference that lesions exceed, for the mean of the spread;  lock : held during the forward passes
    of each group of tiles.

    A tile is read and flipped once for all folds; logits of a fold are averaged over its mirrorings first.
    """

    def __init__(
        self,
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
        lock: AbstractContextManager | None = None,
    ):
        self.networks, self.read, self.tiles = networks, read, tiles
        self.flips = mirrorings(mirror_axes)
        self.batch, self.average, self.lesion_above = batch, average, lesion_above
        self.with_spread = with_spread and len(networks) > 1
        self.device = torch.device(device)
        self._lock = lock or nullcontext()
        self._shares = weight_shares(tiles)
        self._room: torch.Tensor | None = None

    @property
    def group(self) -> int:
        """Tiles that go through the networks together."""
        return max(1, self.batch // len(self.flips))

    def outputs(self, starts: Sequence[Start], *, group: int | None = None) -> Iterator[tuple[Start, TileOutput]]:
        """Run the tiles at `starts`, so many at once (None: as many as the batch holds); gives each with its output.

        Same result bit for bit at the same number of threads on a CPU. Raises InputError if memory does not suffice
        for one tile, and NonFiniteLogitsError.
        """
        waiting = list(starts)
        while waiting:
            here = waiting[: min(group or self.group, self.group)]
            with self._lock:
                differences = self._differences_if_they_fit(here)
            if differences is None:
                self._halve_batch()
                continue
            del waiting[: len(here)]
            for index, start in enumerate(here):
                yield start, self._output(start, differences[:, index])
            del differences

    def weight(self, start: Start, part: Box = WHOLE) -> torch.Tensor:
        """Share of a tile in the weighted mean over tiles, float32, in a `part` of what its `TileOutput` covers."""
        z, y, x = (share[span] for share, span in zip(self._shares_of(start), part, strict=True))
        return z[:, None, None] * y[:, None] * x

    def _shares_of(self, start: Start) -> list[torch.Tensor]:
        """The three factors of a tile's weight."""
        return [torch.from_numpy(share[first]) for share, first in zip(self._shares, start, strict=True)]

    @torch.inference_mode()
    def _output(self, start: Start, differences: torch.Tensor) -> TileOutput:
        value, probabilities = _combined(differences, self.average)
        inner, _ = overlap(start, self.tiles)
        value = value[inner]
        if probabilities is None:
            return TileOutput(value, None, 0.0, 0.0)
        probabilities = probabilities[(slice(None), *inner)]
        spread = _spread(probabilities) if self.with_spread else None
        # from here on the lesion alone, which is little of a tile
        lesion = (value > self.lesion_above).nonzero(as_tuple=True)
        z, y, x = (share.to(self.device)[index] for share, index in zip(self._shares_of(start), lesion, strict=True))
        weight = z * y * x
        lesion_weight = _sum(weight)
        lesion_spread = _sum(weight.mul_(_spread([probability[lesion] for probability in probabilities])))
        return TileOutput(value, spread, lesion_weight, lesion_spread)

    @torch.inference_mode()
    def _differences_if_they_fit(self, starts: Sequence[Start]) -> torch.Tensor | None:
        """`_differences` of tiles; None, and nothing is kept, where the device's memory does not suffice."""
        try:
            given = [torch.from_numpy(tile_of(self.read, start, self.tiles)).to(self.device) for start in starts]
            room = self._room_for(len(self.networks), len(given), *given[0].shape[1:])
            return _differences(self.networks, given, self.flips, self.batch, room)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _room_for(self, *shape: int) -> torch.Tensor:
        """Float32 memory for the logit differences of a group: that of the group before, where it is large enough.

        The system hands out fresh memory page by page, which takes a CPU five times as long as writing the differences.
        """
        size = prod(shape)
        if self._room is None or self._room.numel() < size:
            self._room = None
            self._room = torch.empty(size, device=self.device)
        return self._room[:size].view(shape)

    def free_room(self) -> None:
        """Give back the memory that one group of tiles hands on to the next."""
        self._room = None

    def _halve_batch(self) -> None:
        """Half the batch, which did not fit, and free the memory that torch has cached; InputError for half of 1."""
        if self.batch == 1:
            raise InputError(
                f"the memory of {self.device.type} does not suffice for one tile of "
                f"{' x '.join(map(str, self.tiles.tile))} voxels",
                mend="free it of other programs, or take a card with more memory",
            )
        self.free_room()
        release_cache(self.device)
        too_many, self.batch = self.batch, self.batch // 2
        print(f"{too_many} tiles at once do not fit the memory of {self.device.type}: going on with {self.batch}")


def _sum(values: torch.Tensor) -> float:
    """Sum in float64, which not every device has."""
    return float(values.cpu().sum(dtype=torch.float64))


def _differences(networks, given: list[torch.Tensor], flips, batch: int, sums: torch.Tensor) -> torch.Tensor:
    """Logit differences of the tiles `given`, averaged over their mirrorings, in `sums` (folds, tiles, z, y, x)."""
    units = [(index, [axis + 1 for axis in axes]) for index in range(len(given)) for axes in flips]
    for first in range(0, len(units), batch):
        part = units[first : first + batch]
        images = [given[index].flip(axes) if axes else given[index] for index, axes in part]
        images = images[0][None] if len(images) == 1 else torch.stack(images)
        for fold, network in enumerate(networks):
            with mixed_precision(images.device):
                logits = network(images)
            for (index, axes), (background, lesion) in zip(part, logits, strict=True):
                if axes:
                    difference = lesion.float().sub_(background)
                    sums[fold, index] += difference.flip([axis - 1 for axis in axes])
                else:  # the first of a tile
                    torch.sub(lesion.float(), background, out=sums[fold, index])
            del logits, background, lesion
        del images
    require_finite(sums)
    return sums.div_(len(flips)) if len(flips) > 1 else sums


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


def _spread(probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
    """Standard deviation over the folds, whose probabilities have one shape."""
    mean = sum(probabilities) / len(probabilities)
    spread = torch.zeros_like(mean)
    for probability in probabilities:
        spread.add_((probability - mean).square_())
    return spread.div_(len(probabilities)).sqrt_()
