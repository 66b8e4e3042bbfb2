"""A stand-in for trained networks: lesion is where tumour clicks shine in the heatmap, whatever the scans show."""

from __future__ import annotations

from pathlib import Path

import torch
from phantom_patient import QUICK, write_models

from clickpet.live.models import LiveModels
from clickpet.models.settings import write_settings

#: A Gaussian without a gate, so that a lesion is a ball around its click.
HEATMAP = {"sigma_tumor": 2, "sigma_background": 4, "unit": "voxel", "suv_gate": 0, "peak": "unit"}


class ClickNetwork(torch.nn.Module):
    """CT, PET, heatmap (n, 3, z, y, x) to logits (n, 2, z, y, x): lesion where the heatmap is above one half."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of tiles."""
        lesion = 20 * (tiles[:, 2] - 0.5)
        return torch.stack([-lesion, lesion], dim=1)


def click_models(folder: Path) -> LiveModels:
    """Models of PSMA with such a network; `folder` is made a folder of models."""
    write_models(folder, folds=(0,), tracers=("psma",))
    write_settings(folder, {"psma": (0,)}, heatmap=HEATMAP, mip=None)
    models = LiveModels.load(folder, "cpu", config=QUICK)
    models.ensembles["psma"].networks[:] = [ClickNetwork()]
    return models
