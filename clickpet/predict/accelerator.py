"""What differs between CPUs and GPUs in a prediction: name, memory and precision of a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def device_name(device: str | torch.device) -> str:
    """The card's name of a CUDA device ("Tesla T4"), else the kind of device ("cpu", "mps")."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def mixed_precision(device: torch.device) -> AbstractContextManager:
    """Context of a forward pass: half precision where it is proven (CUDA), else float32."""
    return torch.autocast("cuda") if device.type == "cuda" else nullcontext()


def free_bytes(device: torch.device) -> int | None:
    """Memory that tensors may still take on a GPU, what torch holds in its cache included; None on a CPU."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """True if `error` says that a device had too little memory (torch has a class for it, its backends a text)."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)


def release_cache(device: torch.device) -> None:
    """Give cached memory back to the device, so that it can be cut into other pieces."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()


def forget_peak_memory(device: str | torch.device) -> None:
    """Let `peak_gpu_memory_mb` count from here."""
    if torch.device(device).type == "cuda" and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats(device)


def peak_gpu_memory_mb(device: str | torch.device) -> float | None:
    """Most MiB that tensors have taken on a CUDA device since `forget_peak_memory`; None on other devices."""
    if torch.device(device).type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
