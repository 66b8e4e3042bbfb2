"""Weights as others may hand them on: good ones of a discriminator, and a pickle that runs code."""

from __future__ import annotations

import os

import torch

from clickpet.tracer.network import TracerNet


class Hostile:
    """Makes the folder `marker` when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def tracer_weights() -> dict[str, torch.Tensor]:
    """A random state dict of a tracer discriminator."""
    return {name: torch.rand_like(tensor) for name, tensor in TracerNet().state_dict().items()}
