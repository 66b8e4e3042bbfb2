"""Refusal of network weights that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clickpet.errors import InputError

if TYPE_CHECKING:
    import torch


def refuse_non_finite(weights: Mapping[str, torch.Tensor], *, where: object = None) -> None:
    """Raise InputError that names the first tensors that hold NaN or infinity.

    Such a network finds nothing in anybody, and one of them would empty the masks of its ensemble.
    """
    finite: dict[tuple, bool] = {}  # nnU-Net has several names for most tensors: each is looked at once
    for tensor in weights.values():
        if _place(tensor) not in finite:
            finite[_place(tensor)] = _is_finite(tensor)
    damaged = [str(name) for name, tensor in weights.items() if not finite[_place(tensor)]]
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        raise InputError(
            f"its weights are not finite (NaN or infinite in {', '.join(damaged[:3])}{more} of {len(weights)})",
            where=where,
            mend="its training diverged or the file is damaged: take an earlier checkpoint, or train or copy it again",
        )


def _place(tensor: torch.Tensor) -> tuple:
    """Tells tensors apart that do not show the same values of the same memory."""
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _is_finite(tensor: torch.Tensor) -> bool:
    import torch

    if tensor.is_meta or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # a sum sees every NaN and infinity without a mask of the tensor's size; only if it overflows all are looked at
    dtype = torch.float32 if tensor.is_floating_point() and tensor.element_size() < 4 else None
    return bool(torch.isfinite(tensor.sum(dtype=dtype))) or bool(torch.isfinite(tensor).all())
