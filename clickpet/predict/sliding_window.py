"""Sliding-window inference of an ensemble: tiles over a volume, Gaussian weights, and one running weighted mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clickpet.nnunet.nonzero_box import Box
from clickpet.predict.ensemble_tiles import EnsembleTiles, TileOutput
from clickpet.predict.tiling import Start, Tiling, overlap


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


def sliding_window_inference(
    networks: Sequence[torch.nn.Module], read: Callable[[Box], np.ndarray], tiles: Tiling, **options
) -> SlidingWindowOutput:
    """Run an ensemble over the tiles of a volume; arguments are those of `EnsembleTiles`.

    Memory: one float32 volume of `tiles.box` (two `with_spread`); per tile of a group its input and a float32
    tile per fold; and what a forward pass of `batch` takes. Same result bit for bit at the same number of
    threads on a CPU. Where memory does not suffice the batch is halved, for the rest of the tiles too; InputError
    if it does not suffice for one tile.
    """
    ensemble = EnsembleTiles(networks, read, tiles, **options)
    total, spread_total = empty_sums(ensemble, ensemble.device)
    sums = [0.0, 0.0]
    for start, output in ensemble.outputs(list(tiles)):
        add_tile(total, spread_total, ensemble, start, output)
        sums[0] += output.lesion_weight
        sums[1] += output.lesion_spread
    spread_map = None if spread_total is None else spread_total.cpu().numpy()
    return SlidingWindowOutput(total.cpu().numpy(), spread_map, mean_spread(*sums), tiles.box, ensemble.batch)


def empty_sums(ensemble: EnsembleTiles, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Zeros on a device for the weighted sums of values and, where it is wanted, of spreads."""
    extent = [part.stop - part.start for part in ensemble.tiles.box]
    return tuple(torch.zeros(extent, device=device) if one else None for one in (True, ensemble.with_spread))


@torch.inference_mode()
def add_tile(
    total: torch.Tensor, spread_total: torch.Tensor | None, ensemble: EnsembleTiles, start: Start, output: TileOutput
) -> None:
    """Add a tile's output, weighted, to the sums over `ensemble.tiles.box`."""
    _, outer = overlap(start, ensemble.tiles)
    weight = ensemble.weight(start).to(total.device)
    total[outer].addcmul_(output.value, weight)
    if spread_total is not None:
        spread_total[outer].addcmul_(output.spread, weight)


def mean_spread(lesion_weight: float, lesion_spread: float) -> float:
    """Mean of the spread over the lesion, 0 without one."""
    return lesion_spread / lesion_weight if lesion_weight else 0.0
