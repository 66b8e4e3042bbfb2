"""The device of a job, with stubbed GPUs: one that was asked for is used, or its absence is one clear line."""

import pytest
import torch

from clickpet import devices
from clickpet.devices import choose_device
from clickpet.errors import InputError


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """torch and driver of a made-up machine."""

    def make(
        *, gpus=0, built="12.8", driver="550.54", library=True, init_error=None, compute_error=None, **environment
    ):
        for name in (*devices.CONTAINERS, "CUDA_VISIBLE_DEVICES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(devices, "DOCKER", tmp_path / "no")
        monkeypatch.setattr(devices, "driver_version", lambda: f"driver {driver}" if driver else None)
        monkeypatch.setattr(devices, "has_driver_library", lambda: library)
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (30 * 2**30, 40 * 2**30))

        def fail(error):
            if error:
                raise RuntimeError(error)

        monkeypatch.setattr(torch.cuda, "init", lambda: fail(init_error))
        real = torch.ones

        def ones(*args, device=None, **kwargs):
            fail(compute_error)
            return real(*args, **kwargs)

        monkeypatch.setattr(torch, "ones", ones)

    return make


def test_a_gpu_is_taken_and_told_of(machine, capsys):
    machine(gpus=1)
    for asked in (None, 1):
        assert choose_device(asked) == "cuda"
        said = capsys.readouterr().out
        assert said.startswith("GPU 0: Card 0, driver 550.54, torch ")
        assert "built for CUDA 12.8, 30.0 of 40.0 GiB free" in said


def test_several_gpus_are_left_to_the_processes_that_get_one_each(machine, capsys):
    machine(gpus=4, compute_error="touched")
    assert choose_device(2) == "cuda"
    assert capsys.readouterr().out.startswith("2 GPUs, driver 550.54, torch ")
    assert devices.describe_gpu(3).startswith("GPU 3: Card 3, driver 550.54")


@pytest.mark.parametrize(("gpus", "asked"), [(0, None), (0, 0), (2, 0)])
def test_the_cpu_where_no_gpu_is_there_or_none_is_asked_for(machine, capsys, gpus, asked):
    machine(gpus=gpus, driver=None)
    assert choose_device(asked) == "cpu"
    assert capsys.readouterr().out.startswith("computing on the CPU: ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"built": None}, ["driver 550.54", "built without CUDA", "install torch's CUDA build"]),
        ({"driver": None, "library": False}, ["no NVIDIA driver", "built for CUDA 12.8", "run on a node with a GPU"]),
        ({"library": False, "APPTAINER_CONTAINER": "/a.sif"}, ["driver 550.54", "give the container", "--nv"]),
        ({"library": False, "SINGULARITY_CONTAINER": "/a.sif"}, ["give the container", "--nv"]),
        (
            {"driver": "470.1", "init_error": "The NVIDIA driver on your system is too old"},
            ["driver 470.1", "driver on your system is too old", "update the driver"],
        ),
        ({"CUDA_VISIBLE_DEVICES": ""}, ["CUDA_VISIBLE_DEVICES is ''", "unset CUDA_VISIBLE_DEVICES"]),
        ({"init_error": "No CUDA GPUs are available"}, ["No CUDA GPUs are available", "ask the scheduler for a GPU"]),
    ],
)
@pytest.mark.parametrize("asked", [1, 2])
def test_a_gpu_that_cannot_be_used_is_one_line(machine, options, says, asked):
    machine(**options)
    with pytest.raises(InputError, match="a GPU is asked for and cannot be used") as caught:
        choose_device(asked)
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value)


def test_more_gpus_than_there_are(machine):
    machine(gpus=2)
    with pytest.raises(InputError, match="3 GPUs are asked for, torch sees 2; lower `gpu`"):
        choose_device(3)


@pytest.mark.parametrize("asked", [None, 1])
def test_a_gpu_that_is_there_and_cannot_compute(machine, asked):
    machine(gpus=1, compute_error="CUDA error: no kernel image is available for execution on the device\nmore")
    with pytest.raises(InputError, match="the GPU cannot compute: CUDA error: no kernel image") as caught:
        choose_device(asked)
    assert "\n" not in str(caught.value)


def test_the_driver_is_read_from_the_kernel_where_no_tool_is(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "version")
    assert devices.driver_version() is None
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12"
    (tmp_path / "version").write_text(text)
    assert devices.driver_version() == "driver 535.104.05"


@pytest.mark.parametrize(
    ("gpus", "available", "asked", "allowed", "device"),
    [
        (0, True, None, True, "mps"),
        (0, True, 1, True, "mps"),
        (0, True, 0, True, "cpu"),
        (0, True, None, False, "cpu"),
        (0, False, None, True, "cpu"),
        (1, True, None, True, "cuda"),
    ],
)
def test_apples_gpu_is_for_those_who_allow_for_it(machine, monkeypatch, gpus, available, asked, allowed, device):
    machine(gpus=gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: available)
    assert choose_device(asked, apple=allowed) == device


def test_a_gpu_that_is_asked_for_is_not_apples_where_it_cannot_be_used(machine, monkeypatch):
    machine(gpus=0, driver=None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for asked, allowed in ((1, False), (2, True)):
        with pytest.raises(InputError, match="a GPU is asked for and cannot be used"):
            choose_device(asked, apple=allowed)
