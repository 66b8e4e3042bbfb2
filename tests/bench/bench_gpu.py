"""What this machine's GPU does with the paper's network.

Patches of 192 x 192 x 192 voxels, two a step, 102 million parameters, mixed precision, made-up data that the workers
read from a warm cache. Seconds a step and seconds a case; the remark has what torch held at most and how long steps
waited for data. Without a GPU a small twin runs on the CPU (patches of 32 voxels, a tiny network), which only shows
that all parts work. By `make check-gpu`; `make bench` leaves it out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

if importlib.util.find_spec("SimpleITK") is None:  # nnU-Net imports it for readers that are not needed here
    sys.modules["SimpleITK"] = ModuleType("SimpleITK")

from clickpet.devices import choose_device
from clickpet.files import read_json, write_json
from clickpet.nnunet.model_folder import build_network, read_model_folder
from clickpet.nnunet.plans import Topology, dataset_json, network_plans, nominal_plans
from clickpet.predict.calibrate import calibrate
from clickpet.predict.ensemble import LesionEnsemble
from clickpet.predict.mirroring import Workload, expected_s
from clickpet.train.flight_check import SMALL, check_training, store_study
from clickpet.train.lesion_fold import train_lesion_fold
from clickpet.train.options import TrainingOptions
from clickpet.train.preprocessing import save_preprocessed

ORGAN_CLASSES = 15
#: On a GPU and in the small twin: patch and network, timed steps, volume (x, y, z) and members of the prediction.
FULL = {
    "network": {"patch_size": [192, 192, 192], "topology": None}, "steps": 60, "volume": (400, 400, 326), "members": 5,
    "calibration": ((100, 100, 100), (160, 160, 160)),
}  # fmt: skip
TWIN = {
    "network": SMALL, "steps": 4, "volume": (36, 32, 30), "members": 2, "calibration": ((20, 20, 20), (30, 30, 30)),
}  # fmt: skip
SPACING_MM = (2.036, 2.036, 3.0)
#: A small training that is killed and goes on.
TINY = Topology([4, 8], [1, 1], 2)
TINY_OPTIONS = TrainingOptions(
    epochs=4, iterations_per_epoch=8, validation_iterations=1, learning_rate=0.01, save_every=1, misalignment={}
)


def rows(device: str | None = None) -> Iterator[dict]:
    device = device or choose_device()
    size = FULL if device == "cuda" else TWIN
    workers = max(1, len(os.sched_getaffinity(0)) - 1)
    card = torch.cuda.get_device_name() if device == "cuda" else "no GPU: the small twin on the CPU"
    yield told(f"on {card}, {workers} workers", None, f"torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        store_study(Path(folder), size["network"]["patch_size"])
        yield from training_steps(device, size, workers, folder)
    yield killed_and_resumed(device)
    with tempfile.TemporaryDirectory() as folder:
        yield same_masks(Path(folder) / "small", device)
        yield from ensemble(Path(folder) / "full", device, size)


def training_steps(device: str, size: dict, workers: int, preprocessed: str) -> Iterator[dict]:
    """Steps with and without organs, compiled and not, augmented by the device and by the workers."""
    cases = [
        ("with organs, compiled", {"organ_classes": ORGAN_CLASSES}, "true", True),
        ("the same, augmented by the workers as nnU-Net does", {"organ_classes": ORGAN_CLASSES}, "true", False),
        ("without organs, compiled", {"organ_classes": 0}, "true", True),
        ("with organs, not compiled", {"organ_classes": ORGAN_CLASSES}, "false", True),
    ]
    for number, (name, heads, compiled, on_device) in enumerate(cases):
        os.environ["nnUNet_compile"] = compiled
        with redirect_stdout(None):  # nnU-Net tells much
            record = check_training(
                device=device, **size["network"], **heads, batch_size=2, workers=workers, augment_on_device=on_device,
                options=TrainingOptions(misalignment={}), steps=size["steps"] if number < 2 else 4,
                preprocessed=preprocessed,
            )  # fmt: skip
        if not record["fits"]:
            yield told(f"training step, {name}", None, f"does not fit: {record['reason']}")
            continue
        memory = "" if record["peak_memory_gib"] is None else f", {record['peak_memory_gib']:.1f} GiB"
        note = f"waits {record['data_wait_s']:.3g} s{memory}, first step {record['first_step_s']:.0f} s"
        note += f", tile {record['tile_s']:.3g} s" + ("" if record["compiled"] == (compiled == "true") else ", eager")
        yield told(f"training step, {name}", record["step_s"], note)
    del os.environ["nnUNet_compile"]


def killed_and_resumed(device: str) -> dict:
    """A small training that is killed after its first epoch and started again, to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder, device]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        progress = Path(folder, "workspace", "progress.json")
        begun = time.perf_counter()
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, **silent) as first:
            while first.poll() is None and not progress.is_file():
                time.sleep(0.05)
            first.send_signal(signal.SIGKILL)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        record = read_json(Path(folder, "record.json"))
        logs = "".join(log.read_text() for log in Path(folder).rglob("training_log*.txt"))
    if "going on after epoch" not in logs or len(record["train_loss"]) != TINY_OPTIONS.epochs:
        raise RuntimeError("the killed training did not go on")
    losses = ", ".join(f"{loss:.2f}" for loss in record["train_loss"])
    return told("a small training, killed and resumed", time.perf_counter() - begun, f"losses of its epochs {losses}")


def train_small(folder: Path, device: str) -> None:
    """The training of `killed_and_resumed`."""
    plans = network_plans(nominal_plans(), patch_size=[16] * 3, batch_size=2, organ_classes=3, topology=TINY)
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 24, 24, 24), np.int16)
    labels[0, 10:14, 10:14, 10:14], labels[1] = 1, 2
    places = np.argwhere(labels[0])
    properties = {"class_locations": {1: np.concatenate((np.zeros((len(places), 1), int), places), 1)}, "digest": "a"}
    files = {"data": folder / "d" / "a.b2nd", "segmentation": folder / "d" / "a_seg.b2nd"}
    save_preprocessed(
        {**files, "properties": folder / "d" / "a.pkl"}, rng.standard_normal((3, 24, 24, 24), np.float32), labels,
        properties, patch_size=[16] * 3,
    )  # fmt: skip
    write_json(folder / "fingerprint.json", {})
    _, record = train_lesion_fold(
        plans=plans, dataset=dataset_json(1), options=TINY_OPTIONS, case_split=(["a"], ["a"]), fold="0",
        preprocessed=folder / "d", fingerprint=folder / "fingerprint.json", workspace=folder / "workspace",
        device=device, workers=2,
    )  # fmt: skip
    write_json(folder / "record.json", record)


def model_folder(folder: Path, network: dict):
    """A model folder without checkpoints, for networks of random weights."""
    with redirect_stdout(None):
        plans = network_plans(nominal_plans(), batch_size=2, organ_classes=ORGAN_CLASSES, **network)
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", dataset_json(1))
    return read_model_folder(folder)


def random_networks(model, members: int, device: str) -> list[torch.nn.Module]:
    """Networks whose lesion head is balanced, so that both labels win somewhere."""
    networks = []
    for member in range(members):
        torch.manual_seed(member)
        network = build_network(model).eval()
        for name, parameter in network.named_parameters():
            if "decoder.seg_layers" in name:
                weight = torch.randn_like(parameter)
                parameter.data = weight - weight.mean(1, keepdim=True) if weight.ndim > 1 else 0 * weight
        networks.append(network.requires_grad_(False).to(device))
    return networks


def study(shape) -> dict[str, np.ndarray]:
    """CT, PET and heatmap of noise that varies slowly, and their affine: the arguments of a prediction."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal([3, *[-(-length // 4) for length in shape]]).astype(np.float32)
    fine = coarse.repeat(4, 1).repeat(4, 2).repeat(4, 3)[:, : shape[0], : shape[1], : shape[2]]
    return {
        "ct": np.ascontiguousarray(fine[0] * 200),
        "suv": np.abs(fine[1]) * 3,
        "heatmap": fine[2].clip(-1, 1),
        "affine": np.diag([*SPACING_MM, 1.0]),
    }


def same_masks(folder: Path, device: str) -> dict:
    """Dice between the masks of a small network on this device and on the CPU."""
    model = model_folder(folder, SMALL)
    given = study(TWIN["volume"])
    masks = [
        LesionEnsemble(model, [0, 1], random_networks(model, 2, on), device=on).predict(**given).mask
        for on in (device, "cpu")
    ]
    both, sizes = np.count_nonzero(masks[0] & masks[1]), [np.count_nonzero(mask) for mask in masks]
    if not sizes[1] or 2 * both / sum(sizes) < 0.999:
        raise RuntimeError(f"masks of {device} and CPU differ: {sizes} voxels, {both} in both")
    return told("masks of this device and of the CPU", None, f"Dice {2 * both / sum(sizes):.5f} of {sizes[1]:,} voxels")


def ensemble(folder: Path, device: str, size: dict) -> Iterator[dict]:
    """Prediction of a study by all members with eight mirrorings, and what the budget mode expects of it."""
    model = model_folder(folder, size["network"])
    given = study(size["volume"])
    members = list(range(size["members"]))
    for member, network in zip(members, random_networks(model, len(members), "cpu"), strict=True):
        model.checkpoint(member).parent.mkdir(parents=True)
        torch.save({"network_weights": network.state_dict()}, model.checkpoint(member))
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    networks = LesionEnsemble.load(folder, members, device=device)
    begun = time.perf_counter()
    done = networks.predict(**given, mirror_axes=(0, 1, 2))
    taken_s = time.perf_counter() - begun
    memory = f", {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB" if device == "cuda" else ""
    volume, parts = "x".join(map(str, size["volume"])), done.details
    note = f"{parts['tiles']} tiles, {parts['forward_passes']} passes{memory}"
    yield told(f"ensemble of {size['members']}, {volume}, eight mirrorings", taken_s, note)
    del networks
    calibration = calibrate(folder, members, device=device, sizes=size["calibration"])
    expected = expected_s(calibration, Workload(parts["voxels"], parts["tiles"], len(members)), 3)
    note = f"pass {1000 * calibration['pass_s']['3']:.3g} ms; start, reading and writing are in it"
    yield told("the same as the budget mode expects it", expected, note)


def told(name: str, seconds: float | None, note: str) -> dict:
    """A row without a goal."""
    return {"name": name, "ours_s": seconds, "note": note}


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_small(Path(sys.argv[1]), sys.argv[2])
    print(json.dumps("done"))
