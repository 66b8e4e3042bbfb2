"""Check that networks give finite numbers: NaN compares as "no lesion" and would empty the mask without a word."""

from __future__ import annotations

import torch


class NonFiniteLogitsError(ArithmeticError):
    """A network gave NaN or infinite logits; `member` is its place in the ensemble."""

    def __init__(self, member: int):
        super().__init__(f"network {member} of the ensemble gave values that are not finite")
        self.member = member


def require_finite(values: torch.Tensor, *, first_member: int = 0) -> None:
    """Raise NonFiniteLogitsError for the first member whose part of `values` (members, ...) holds NaN or infinity."""
    sums = values.flatten(1).sum(1, dtype=torch.float32)  # one sum sees them all, without a mask of the values' size
    for place, finite in enumerate(torch.isfinite(sums).tolist()):
        if not finite:
            raise NonFiniteLogitsError(first_member + place)
