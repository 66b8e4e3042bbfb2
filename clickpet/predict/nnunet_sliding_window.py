"""Sliding-window inference with nnU-Net's own arithmetic, for results that agree with nnU-Net's predictor.

nnU-Net keeps both logits and the sum of weights in half precision, fold after fold. That costs accuracy
(about one lesion voxel in ten thousand changes) and buys nothing here, so it is only for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from clickpet.nnunet.nonzero_box import Box
from clickpet.predict.accelerator import mixed_precision
from clickpet.predict.finite_logits import require_finite
from clickpet.predict.mirroring import mirrorings
from clickpet.predict.sliding_window import SlidingWindowOutput
from clickpet.predict.tiling import Tiling, importance_profiles, overlap, tile_of

#: nnU-Net scales its importance map to this peak, to make use of what half precision has.
PEAK = 10


@torch.inference_mode()
def nnunet_sliding_window(
    networks: Sequence[torch.nn.Module],
    read: Callable[[Box], np.ndarray],
    tiles: Tiling,
    *,
    mirror_axes: Sequence[int] = (),
    batch: int = 1,
    device: str | torch.device = "cpu",
) -> SlidingWindowOutput:
    """As `sliding_window_inference`, but `lesion` is float16 (2, z, y, x): logits of background and lesion.

    Logits are averaged over mirrorings in float32, summed over tiles in half precision with half-precision
    weights, and averaged over folds in half precision. Memory: three or five half-precision volumes.
    """
    device = torch.device(device)
    weight = _half_importance(tiles.tile).to(device)
    extent = [part.stop - part.start for part in tiles.box]
    total = None
    for member, network in enumerate(networks):
        logits = torch.zeros((2, *extent), dtype=torch.half, device=device)
        weights = torch.zeros(extent, dtype=torch.half, device=device)
        for start in tiles:
            inner, outer = overlap(start, tiles)
            tile = torch.from_numpy(tile_of(read, start, tiles)).to(device)
            weighted = _mirrored(network, tile, mirror_axes, batch) * weight
            require_finite(weighted[None], first_member=member)
            logits[(slice(None), *outer)] += weighted[(slice(None), *inner)]
            weights[outer] += weight[inner]
        logits /= weights
        total = logits if total is None else total.add_(logits)
    total /= len(networks)
    return SlidingWindowOutput(total.cpu().numpy(), None, 0.0, tiles.box, batch)


def _mirrored(network, tile: torch.Tensor, mirror_axes: Sequence[int], batch: int) -> torch.Tensor:
    """Logits (2, z, y, x) of one tile, averaged over its mirrorings in nnU-Net's order."""
    flips = [[axis + 1 for axis in axes] for axes in mirrorings(mirror_axes)]
    total = None
    for first in range(0, len(flips), batch):
        part = flips[first : first + batch]
        with mixed_precision(tile.device):
            given = network(torch.stack([tile.flip(axes) for axes in part]))
        for axes, logits in zip(part, given, strict=True):
            total = logits.clone() if total is None else total.add_(logits.flip(axes))
    return total / len(flips)


def _half_importance(tile: Sequence[int]) -> torch.Tensor:
    """nnU-Net's Gaussian importance map (z, y, x) in half precision, zeros replaced by its smallest value."""
    profiles = importance_profiles(tile, floor=0)
    importance = profiles[0][:, None, None] * profiles[1][:, None] * profiles[2] * PEAK
    importance = importance.astype(np.float16)
    importance[importance == 0] = importance[importance > 0].min()
    return torch.from_numpy(importance)
