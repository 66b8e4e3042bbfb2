"""A further click or scribble in the heatmap of a training patch."""

from __future__ import annotations

import torch

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.model import Clicks, Interaction
from clickpet.train.stored_clicks import StoredClicks


def add_correction(heatmap: torch.Tensor, suv: torch.Tensor, correction: Interaction, drawing: StoredClicks) -> None:
    """Add a correction to the heatmap of a patch, in place: what `draw_heatmap` gives with it among the clicks.

    heatmap : float (z, y, x), of the interactions so far;  suv : (z, y, x), g/ml, -inf outside the scan, where the
    heatmap stays as it is;  drawing : how the case's clicks are drawn (its own clicks play no part). Both tensors on
    any device. Only the window that the correction reaches is looked at.

    Exact but for rounding where `HeatmapOptions.is_additive`: sums of clipped sums are clipped sums, and background
    under tumour is not shown. A background voxel that was clicked before counts again.
    """
    reach = drawing.reach_vox(correction.kind)
    points = correction.points
    window = tuple(
        slice(max(0, int(low) - far), min(length, int(high) + far + 1))
        for low, high, far, length in zip(points.min(0), points.max(0), reach, heatmap.shape, strict=True)
    )
    inside = Interaction(correction.kind, points - [part.start for part in window])
    clicks = Clicks.from_interactions([inside])
    near = suv[window]
    drawn = torch.from_numpy(draw_heatmap(near.cpu().numpy(), clicks, drawing.options, affine=drawing.affine)).to(
        heatmap.device
    )
    drawn = torch.where(torch.isneginf(near), 0, drawn)
    together = _nearest if drawing.options.encoding == "distance" else _sum
    heatmap[window] = together(heatmap[window], drawn, correction.kind)


def _sum(before: torch.Tensor, drawn: torch.Tensor, kind: str) -> torch.Tensor:
    """Gaussians: tumour adds up to 1 and hides background, background adds up to -1 where no tumour is."""
    if kind == "tumor":
        return torch.where(drawn > 0, (before.clamp(min=0) + drawn).clamp(max=1), before)
    return torch.where((drawn < 0) & (before <= 0), (before + drawn).clamp(min=-1), before)


def _nearest(before: torch.Tensor, drawn: torch.Tensor, kind: str) -> torch.Tensor:
    """Distances: the nearer interaction counts, at equal distance the tumour."""
    if kind == "tumor":
        return torch.where((drawn > 0) & (drawn >= before.abs()), drawn, before)
    return torch.where(-drawn > before.abs(), drawn, before)
