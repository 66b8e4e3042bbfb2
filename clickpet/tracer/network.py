"""The network of the tracer discriminator (MIP-CNN) and its weights. Paper, section 2.2, "Tracer Discriminator".

Layers, names and shapes are those of the released network, so that released weights load by name. Its output
is the probability of PSMA (FDG 0, PSMA 1, as released).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from clickpet.digests import check_recorded
from clickpet.errors import InputError
from clickpet.files import replacing
from clickpet.finite_weights import refuse_non_finite

#: Smallest MIP edge (pixels) that leaves a pixel after the five strided layers.
MIN_SIZE = 62
#: Edge of the features that the released sixth layer wants; a 224 x 224 MIP gives exactly that.
_CONV6_EDGE = 6


class TracerNet(nn.Module):
    """Six convolutions and five linear layers with ReLU; the probability of PSMA by a sigmoid."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 8, stride=2, padding=3)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2)
        self.conv4 = nn.Conv2d(32, 64, 3, stride=2)
        self.conv5 = nn.Conv2d(64, 128, 3, stride=2)
        self.conv6 = nn.Conv2d(128, 256, _CONV6_EDGE)
        self.fc1 = nn.Linear(256, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 16)
        self.fc4 = nn.Linear(16, 4)
        self.fc5 = nn.Linear(4, 1)

    def features(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to features (n, 256).

        At 224 x 224 this is the released network. Where a smaller MIP leaves less than 6 x 6 pixels for the sixth
        layer they are padded with zeros; where a larger one leaves more, the layer's outputs are averaged.
        """
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            mips = functional.relu(layer(mips))
        return functional.relu(self.conv6(self.pad(mips))).mean(dim=(2, 3))

    @staticmethod
    def pad(features: torch.Tensor) -> torch.Tensor:
        """Zeros around features of a MIP so small that the sixth layer would not fit."""
        missing = max(0, _CONV6_EDGE - features.shape[-1])
        return functional.pad(features, (missing // 2, missing - missing // 2) * 2)

    def logits(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to log-odds of PSMA (n,)."""
        values = self.features(mips)
        for layer in (self.fc1, self.fc2, self.fc3, self.fc4):
            values = functional.relu(layer(values))
        return self.fc5(values)[:, 0]

    def forward(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to the probability of PSMA (n,)."""
        return torch.sigmoid(self.logits(mips))


def check_size(mips: np.ndarray) -> None:
    """Raise InputError unless `mips` (n, size, size) are square and large enough for the network."""
    if mips.ndim != 3 or mips.shape[1] != mips.shape[2] or mips.shape[1] < MIN_SIZE:
        raise InputError(
            f"the discriminator cannot look at MIPs of shape {tuple(mips.shape[1:])}",
            where="config key tracer.size",
            mend=f"set it to {MIN_SIZE} or more (the paper's is 224)",
        )


def network_of(weights: dict[str, torch.Tensor]) -> TracerNet:
    """The network with these weights, in eval mode."""
    network = TracerNet()
    network.load_state_dict(weights)
    return network.eval()


def save_discriminator(path: str | Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a state dict, whole or not at all."""
    # an open file, because torch writes a file's name into it
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(weights, file)


def load_discriminator(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict of a TracerNet, own or released, without running any code that the file may hold.

    Raises InputError if the file is missing, is not a plain state dict, or its names, shapes or (where training or
    import recorded them) values are others, or its values are not finite.
    """
    if not Path(path).is_file():
        raise InputError("no such file", where=path, mend="train the discriminator or import its weights")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"is no file of network weights ({type(error).__name__})", where=path, mend="give a torch state dict"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in TracerNet().state_dict().items()}
    found = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in weights.items()} if _is_dict(weights) else {}
    if found != expected:
        wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        raise InputError(
            f"is no tracer discriminator ({len(wrong)} names or shapes are others: {', '.join(wrong[:3])})",
            where=path,
            mend="give weights with conv1..conv6 and fc1..fc5",
        )
    refuse_non_finite(weights, where=path)
    check_recorded(path, weights)
    return weights


def _is_dict(weights: object) -> bool:
    return isinstance(weights, dict) and all(isinstance(name, str) for name in weights)
