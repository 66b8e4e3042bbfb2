"""What tells one network from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash of a state dict: names, shapes, kinds and values (16 hex digits of SHA-256).

    The file of a checkpoint tells when it was made, too; equal networks have equal digests.
    """
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).numpy())
    return digest.hexdigest()[:16]
