"""The device that a job computes on: a GPU that was asked for is used or its absence is an error."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from clickpet.errors import InputError

#: What containers leave in a process's environment, and how each is given the machine's GPUs.
CONTAINERS = {"APPTAINER_CONTAINER": "apptainer's --nv", "SINGULARITY_CONTAINER": "singularity's --nv"}
DOCKER = Path("/.dockerenv")
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: How CUDA says that driver or card do not fit its version.
TOO_OLD = ("too old", "insufficient", "no kernel image")
#: Written by NVIDIA's kernel module.
DRIVER = Path("/proc/driver/nvidia/version")


def choose_device(gpus: int | None = None, *, apple: bool = False) -> str:
    """ "cuda" or "cpu", with a line about the choice in the log; "mps" where `apple` allows for Apple's GPU.

    gpus : how many GPUs the job asks for; 0: none, the CPU;  None: not said, a GPU is taken if there is one.

    Raises InputError, in one line with what is known about the reason, if GPUs are asked for and torch cannot use as
    many, or the first of them fails in a small computation.
    """
    import torch

    if gpus == 0:
        print("computing on the CPU: no GPU is asked for", flush=True)
        return "cpu"
    usable, reason = _usable_gpus()
    if usable and (gpus or 1) > usable:
        raise InputError(
            f"{gpus} GPUs are asked for, torch sees {usable}", mend="lower `gpu` of the rule under set-resources"
        )
    if not usable and apple and gpus in (None, 1) and torch.backends.mps.is_available():
        print("computing on Apple's GPU", flush=True)
        return "mps"
    if not usable and gpus is None:
        print(f"computing on the CPU: {reason}", flush=True)
        return "cpu"
    require_gpu()
    if gpus in (None, 1):
        print(describe_gpu(), flush=True)
        try_gpu(torch.device("cuda", 0))
    else:  # to look closer would take memory of each; the processes that get one each do
        print(f"{gpus} GPUs, {_versions()}", flush=True)
    return "cuda"


def require_gpu(index: int | None = None) -> None:
    """InputError, in one line with what is known about the reason, unless torch can use GPU number `index` (or any)."""
    usable, reason = _usable_gpus()
    if not usable:
        raise InputError(f"a GPU is asked for and cannot be used: {reason}", mend=_mend(reason))
    if (index or 0) >= usable:
        raise InputError(f"there is no GPU {index}, torch sees {usable}", mend="they are counted from 0")


def try_gpu(device) -> None:
    """Let a GPU compute something small; InputError with its own words if it cannot."""
    import torch

    try:
        torch.ones(8, device=device).sum().item()
    except RuntimeError as error:
        reason = _one_line(error)
        raise InputError(f"the GPU cannot compute: {reason} ({_versions()})", mend=_mend(reason)) from error


def describe_gpu(index: int = 0) -> str:
    """A GPU in a line: name, driver, CUDA, free memory."""
    import torch

    try:
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
        memory = f"{free:.1f} of {total:.1f} GiB free"
    except RuntimeError as error:
        memory = f"memory unknown ({_one_line(error)})"
    return f"GPU {index}: {torch.cuda.get_device_name(index)}, {_versions()}, {memory}"


def _usable_gpus() -> tuple[int, str]:
    """How many GPUs torch can use, and why none if there are none."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count(), ""
    found = [_versions()]
    if torch.version.cuda is not None:
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            found.append(_one_line(error))
    if VISIBLE in os.environ:
        found.append(f"{VISIBLE} is '{os.environ[VISIBLE]}'")
    return 0, ", ".join(found)


def _versions() -> str:
    import torch

    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f"{driver_version() or 'no NVIDIA driver'}, torch {torch.__version__} {built}"


def driver_version() -> str | None:
    """NVIDIA's driver of this machine, such as "driver 550.54.14"; None without one."""
    if DRIVER.is_file():
        words = DRIVER.read_text(encoding="utf-8", errors="replace").split()
        version = next((word for word in words if word[0].isdigit() and "." in word), None)
        return f"driver {version}" if version else "a driver of unknown version"
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return f"driver {done.stdout.split()[0]}"
    return None


def has_driver_library() -> bool:
    """Whether this process can load the driver's library, which a container has only if it was given the GPUs."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _mend(reason: str) -> str:
    """What to do about a GPU that cannot be used, the likeliest cause first."""
    import torch

    without = "or ask for no GPU (gpu: 0 under set-resources)"
    if torch.version.cuda is None:
        return f"install torch's CUDA build, {without}"
    if not has_driver_library():
        container = next((how for name, how in CONTAINERS.items() if name in os.environ), None)
        if container is None and DOCKER.exists():
            container = "docker's --gpus all"
        if container:
            return f"give the container the machine's GPUs with {container}"
        return f"run on a node with a GPU and NVIDIA's driver, {without}"
    if os.environ.get(VISIBLE) in ("", "-1", "NoDevFiles"):
        return f"unset {VISIBLE}, or ask the scheduler for a GPU"
    if any(word in reason for word in TOO_OLD):
        return "update the driver, or install a torch built for an older CUDA"
    return "look at what nvidia-smi says on that node, and ask the scheduler for a GPU"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
