"""clickpet.predict.accelerator: names and memory of cards; stubbed ones, where there is none."""

import pytest
import torch

from clickpet.predict.accelerator import (
    device_name,
    forget_peak_memory,
    free_bytes,
    is_out_of_memory,
    mixed_precision,
    peak_gpu_memory_mb,
    release_cache,
)


def test_a_cpu_has_no_card():
    assert device_name("cpu") == "cpu"
    assert free_bytes(torch.device("cpu")) is None
    forget_peak_memory("cpu")
    release_cache(torch.device("cpu"))
    assert peak_gpu_memory_mb("cpu") is None


def test_a_card_goes_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Tesla T{device.index or 0}")
    assert device_name("cuda") == "Tesla T0"
    assert device_name("cuda:4") == "Tesla T4"
    assert device_name("mps") == "mps"


@pytest.mark.parametrize("initialised", [True, False])
def test_peak_memory_of_a_card(monkeypatch, initialised):
    peaks = [7 * 2**30]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialised)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peaks.append(3 * 2**29))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks[-1])
    assert peak_gpu_memory_mb("cuda") == 7 * 1024
    forget_peak_memory("cuda")
    assert peak_gpu_memory_mb("cuda") == (1536 if initialised else 7 * 1024)


def test_memory_that_torch_has_cached_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2_000, 16_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 9_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3_500)
    assert free_bytes(torch.device("cuda")) == 2_000 + 5_500


def test_memory_of_an_apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10_000)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 4_000)
    assert free_bytes(torch.device("mps")) == 6_000


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, is_one):
    assert is_out_of_memory(error) is is_one


def test_half_precision_is_for_cuda_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "autocast", asked.append)
    for kind in ("cpu", "mps"):
        with mixed_precision(torch.device(kind)):
            pass
    assert asked == []
    mixed_precision(torch.device("cuda"))
    assert asked == ["cuda"]
