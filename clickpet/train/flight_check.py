"""Whether the configured training runs on this device: its real steps on made-up data, before anything is prepared."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.nnunet.plans import (
    CONFIGURATION,
    NOMINAL_SPACING_MM,
    Topology,
    dataset_json,
    network_plans,
    nominal_plans,
)
from clickpet.train.lesion_fold import TrainingJob, make_trainer
from clickpet.train.options import TrainingOptions
from clickpet.train.preprocessing import save_preprocessed
from clickpet.train.stored_clicks import RECORD, StoredClicks
from clickpet.train.trainer import READ_AHEAD

#: Timed steps: more than what was read ahead while the first step compiled, so that waiting for data shows.
STEPS = READ_AHEAD["training"] + 6
#: Made-up studies are so much longer than a patch, along each axis.
STUDY_PER_PATCH = 1.5
#: Patch and network of the check on a CPU, which only shows that all parts work.
SMALL = {"patch_size": [32, 32, 32], "topology": Topology([4, 8, 16], [1, 1, 1], 3)}
#: How the libraries below torch say that they got no memory.
NO_MEMORY = ("out of memory", "ALLOC_FAILED")
GIB = 2**30


def check_training(
    *,
    device: str,
    patch_size: Sequence[int],
    batch_size: int,
    organ_classes: int,
    topology: Topology | None = None,
    spacing: Sequence[float] | None = None,
    options: TrainingOptions | None = None,
    workers: int = 0,
    steps: int = STEPS,
    augment_on_device: bool = True,
    preprocessed: str | Path | None = None,
) -> dict:
    """Train some steps and predict one tile as the workflow will, and measure it.

    patch_size, batch_size (of one device), organ_classes, topology : as `clickpet.nnunet.plans.network_plans` takes
    them;  spacing : (z, y, x) in mm, None: that of most autoPET studies;  workers, augment_on_device : as for
    `clickpet.train.lesion_fold.train_lesion_fold`;  steps : timed ones, after one that compiles;  preprocessed : folder
    of a study by `store_study`, None makes one.

    Returns what was asked for and "fits"; where it does "parameters", "compiled", "first_step_s" (compilation and
    choice of convolutions in it), "step_s" and "data_wait_s" (means; data on a disk may take longer to read than the
    made-up study, which is cached), "tile_s" (prediction of one patch) and, of a GPU, "peak_memory_gib" (what torch
    held) and "memory_gib" (what the card has); where not "reason".
    """
    options = options or TrainingOptions()
    stock = nominal_plans(spacing)
    plans = network_plans(
        stock,
        patch_size=patch_size,
        batch_size=batch_size,
        organ_classes=organ_classes,
        topology=topology,
        previous_mask=options.previous_mask,
    )
    record = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "patch_size": list(patch_size),
        "batch_size": batch_size,
        "organ_classes": organ_classes,
        "workers": workers,
        "augment_on_device": augment_on_device,
        "steps": steps,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            study = store_study(Path(folder, "preprocessed"), patch_size) if preprocessed is None else preprocessed
            job = _job(Path(folder), plans, options, study, device, workers, augment_on_device)
            record |= {"fits": True, **_measure(job, steps)}
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(word in str(error) for word in NO_MEMORY):
            raise
        record |= {"fits": False, "reason": " ".join(str(error).split())[:300]}
    gc.collect()
    if device == "cuda":
        record["memory_gib"] = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.empty_cache()
    return record


def require_fit(record: dict) -> None:
    """InputError, in one line, if a check says that the training does not fit its device."""
    if record["fits"]:
        return
    patch = "x".join(str(length) for length in record["patch_size"])
    organs = "with" if record["organ_classes"] else "without"
    has = f" and its {record['memory_gib']:.1f} GiB" if "memory_gib" in record else ""
    raise InputError(
        f"training on patches of {patch}, {record['batch_size']} a step, {organs} organs does not fit the "
        f"{record['device']}{has} ({record['reason']})",
        mend="ask for a card with more memory (docs/slurm.md says how much), or lower train.batch_size or patch_size",
    )


def summary(record: dict) -> str:
    """A check in one line."""
    if not record["fits"]:
        return f"{record['device']}: does not fit: {record['reason']}"
    memory = "" if record.get("peak_memory_gib") is None else f", {record['peak_memory_gib']:.1f} GiB at most"
    return (
        f"{record['device']}: {record['step_s']:.3g} s a step ({'compiled' if record['compiled'] else 'eager'}), of "
        f"which {record['data_wait_s']:.2g} s waiting for data{memory}; {record['tile_s']:.2g} s a tile"
    )


def _job(
    folder: Path,
    plans: dict,
    options: TrainingOptions,
    preprocessed: str | Path,
    device: str,
    workers: int,
    augment_on_device: bool,
) -> TrainingJob:
    """A training of one made-up study, which keeps its files in `folder`."""
    plans = deepcopy(plans)
    plans["configurations"][CONFIGURATION]["clickpet"] = asdict(options)
    write_json(folder / "dataset_fingerprint.json", {})
    return TrainingJob(
        plans=plans,
        dataset=dataset_json(1, previous_mask=options.previous_mask),
        fold="all",
        case_split=(["study"], ["study"]),
        preprocessed=str(preprocessed),
        folder=str(folder),
        progress_file=str(folder / "progress.json"),
        pretrained=None,
        deadline_s=None,
        device=device,
        workers=workers,
        owner=None,
        augment_on_device=augment_on_device,
    )


def store_study(folder: Path, patch_size: Sequence[int]) -> Path:
    """Store a preprocessed study of noise, with a clicked lesion in the middle and three organs; returns `folder`.

    Its third channel serves as heatmap and as SUV.
    """
    shape = tuple(round(STUDY_PER_PATCH * length) for length in patch_size)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3, *shape), np.float32)
    labels = np.zeros((2, *shape), np.int16)
    labels[1] = (2 + np.arange(shape[0]) * 3 // shape[0])[:, None, None]
    middle = tuple(slice(length // 2 - 2, length // 2 + 3) for length in shape)
    labels[0][middle], data[2][middle] = 1, 1
    places = np.argwhere(labels[0])
    locations = {1: np.concatenate((np.zeros((len(places), 1), int), places), 1)}
    clicks = Clicks(places[len(places) // 2], np.array(shape) // 4)
    record = StoredClicks(clicks, HeatmapOptions(), NOMINAL_SPACING_MM, shape).as_record()
    files = {"data": "study.b2nd", "segmentation": "study_seg.b2nd", "properties": "study.pkl"}
    save_preprocessed(
        {name: folder / file for name, file in files.items()}, data, labels,
        {"class_locations": locations, RECORD: record}, patch_size=patch_size,
    )  # fmt: skip
    return folder


def _measure(job: TrainingJob, steps: int) -> dict:
    """Seconds and memory of a trainer's own steps and of a tile."""
    on_gpu = job.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer = make_trainer(job)
    trainer.disable_checkpointing = True
    trainer.initialize()
    trainer.on_train_start()
    try:
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        first_s = _seconds(lambda: trainer.train_step(next(trainer.dataloader_train)), on_gpu)
        begun, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(trainer.dataloader_train)
            waited += time.perf_counter() - asked
            trainer.train_step(batch)
        step_s = (time.perf_counter() - begun) / steps
        peak_gib = torch.cuda.max_memory_reserved() / GIB if on_gpu else None
        tile_s = _tile_seconds(trainer, on_gpu)
    finally:
        for batches in (trainer.dataloader_train, trainer.dataloader_val):
            if hasattr(batches, "_finish"):
                batches._finish()
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.plain_network.parameters()),
        "compiled": trainer._do_i_compile(),
        "first_step_s": first_s,
        "step_s": step_s,
        "data_wait_s": waited / steps,
        "tile_s": tile_s,
        "peak_memory_gib": peak_gib,
    }


def _tile_seconds(trainer, on_gpu: bool) -> float:
    """Seconds of the prediction of one patch, after one to warm up; uncompiled, as predictions are."""
    network = trainer.plain_network.eval()
    trainer.set_deep_supervision_enabled(False)
    size = trainer.configuration_manager.patch_size
    tile = torch.zeros((1, trainer.num_input_channels, *size), device=trainer.device)

    def predict():
        with torch.inference_mode(), torch.autocast(trainer.device.type, enabled=on_gpu):
            return network(tile)

    predict()
    return _seconds(predict, on_gpu)


def _seconds(call, on_gpu: bool) -> float:
    begun = time.perf_counter()
    call()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - begun
