"""Calibration of inference on this machine: seconds per forward pass and per voxel, for `mirroring: budget`.

The authors timed their inference over volume sizes and set voxel limits from it (paper, section 2.2,
"Dynamic Inference Depth"). Here the forward pass is timed at every number of mirrored axes, and all other
work over volume sizes; `clickpet.predict.mirroring.expected_s` puts both together for a case.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.nnunet.model_folder import ModelFolder
from clickpet.nnunet.nonzero_box import Box, nonzero_box
from clickpet.predict.accelerator import device_name
from clickpet.predict.body import body_box
from clickpet.predict.ensemble import LesionEnsemble
from clickpet.predict.mirroring import MIRROR_AXES, mirrorings
from clickpet.predict.network_grid import NetworkGrid
from clickpet.predict.sliding_window import sliding_window_inference
from clickpet.predict.tiling import Tiling

#: Volume sizes (x, y, z) over which the work around the network is timed.
SIZES = ((100, 100, 100), (160, 160, 160), (200, 200, 250))
#: Mirroring whose passes would take longer than this in all is not run; it gets the seconds per pass before it.
PATIENCE_S = 60.0
#: Expected times are given this much room.
MARGIN = 1.05


def calibrate(
    model_folder: str | Path, folds: Sequence[int | str], *, device: str, sizes: Sequence[Sequence[int]] = SIZES
) -> dict:
    """Time this machine with the ensemble of `folds` in `model_folder`, loaded as a prediction loads it.

    Returns {"device", "threads", "patch", "network", "members", "fixed_s", "per_voxel_s", "pass_s": {"0".."3"},
    "rows"}: seconds of a case independent of its size (libraries, start of the device, reading of all weights, what
    the first tiles take longer), per voxel of the PET grid (reading, preparing, resampling back, writing) and per
    forward pass of one network on one tile with 0..3 mirrored axes; all 5 % up.  device : the card's name, or "cpu".
    rows : the measurements, one dict each (what, voxels, axes, tiles, passes, seconds).
    """
    ensemble = LesionEnsemble.load(model_folder, folds, device=device)
    model = ensemble.model
    start_s = _start_s(model_folder, folds, device)
    rows = [{"what": "start", "voxels": 0, "axes": 0, "tiles": 0, "passes": 0, "seconds": start_s}]
    rows += [_time_preparation(model, size) for size in sizes]
    rows += _time_passes(ensemble)
    around = [row for row in rows if row["what"] == "around"]
    slope, offset = np.polyfit([row["voxels"] for row in around], [row["seconds"] for row in around], 1)
    per_pass = {str(row["axes"]): row["seconds"] / row["passes"] * MARGIN for row in rows if row["what"] == "window"}
    fixed_s = sum(row["seconds"] for row in rows if row["what"] in ("start", "first tiles"))
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "patch": list(model.patch_size),
        "network": model.configuration.network_arch_class_name,
        "members": len(ensemble.networks),
        "fixed_s": (fixed_s + max(0.0, float(offset))) * MARGIN,
        "per_voxel_s": max(0.0, float(slope)) * MARGIN,
        "pass_s": per_pass,
        "rows": rows,
    }


def _start_s(model_folder: str | Path, folds: Sequence[int | str], device: str) -> float:
    """Seconds that a new Python takes until the networks are on `device`: imports, start of the device, weights."""
    start = time.perf_counter()
    loading = f"LesionEnsemble.load({str(Path(model_folder).resolve())!r}, {list(folds)!r}, device={device!r})"
    code = f"from clickpet.predict.ensemble import LesionEnsemble; {loading}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    return time.perf_counter() - start


def _time_preparation(model: ModelFolder, size: Sequence[int]) -> dict:
    """Time what surrounds the network on a volume of `size` that needs resampling: read, prepare, back, write."""
    spacing_mm = [0.9 * edge for edge in model.configuration.spacing[::-1]]
    affine = np.diag([*spacing_mm, 1.0])
    rng = np.random.default_rng(0)
    waves = [np.sin(np.linspace(0, 9 * np.pi, length)) for length in size]
    body = np.einsum("i,j,k->ijk", *waves) + 0.05 * rng.standard_normal(size)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.nii.gz" for name in ("ct", "suv", "heatmap", "mask")]
        for path, scale in zip(files, (1000, 5, 1), strict=False):
            write_image(path, np.round(body * scale, 2).astype(np.float32), affine)
        start = time.perf_counter()
        arrays = [read_image(path, np.float32).array for path in files[:3]]
        grid = NetworkGrid(model, size, affine, nonzero_box(arrays))
        box = grid.box(body_box(ct=arrays[0], suv=arrays[1], affine=affine))
        channels = [grid.channel(index, array, box) for index, array in enumerate(arrays)]
        write_image(files[3], grid.mask(channels[1], box), affine)
        seconds = time.perf_counter() - start
    return {"what": "around", "voxels": int(np.prod(size)), "axes": 0, "tiles": 0, "passes": 0, "seconds": seconds}


def _time_passes(ensemble: LesionEnsemble) -> list[dict]:
    """Time tiles at each number of mirrored axes, with the batches that a prediction makes of them.

    Before these rows stands what the very first tiles of a process take longer: they find the fastest way to compute
    a batch of their shape (cudnn.benchmark).
    """
    model, rows, first_tiles = ensemble.model, [], None
    for axes in reversed(MIRROR_AXES):
        count = len(mirrorings(axes))
        batch = ensemble.batch_for(axes)
        n_tiles = max(1, batch // count)
        n_passes = n_tiles * count * len(ensemble.networks)
        row = {"what": "window", "voxels": 0, "axes": len(axes), "tiles": n_tiles, "passes": n_passes}
        if rows and rows[-1]["seconds"] / rows[-1]["passes"] * row["passes"] > PATIENCE_S:
            rows.append({**row, "seconds": rows[-1]["seconds"] / rows[-1]["passes"] * row["passes"]})
            continue
        tile = model.patch_size
        shape = (tile[0] + n_tiles - 1, *tile[1:])
        tiles = Tiling((tuple(range(n_tiles)), (0,), (0,)), tile, shape)
        image = np.random.default_rng(1).standard_normal((model.n_channels, *shape), np.float32)
        taken = []
        for repeat in range(3):
            start = time.perf_counter()
            how = {"mirror_axes": axes, "batch": batch, "device": ensemble.device}
            sliding_window_inference(ensemble.networks, partial(_part, image), tiles, **how)
            taken.append(time.perf_counter() - start)
            if repeat == 0 and taken[0] > PATIENCE_S / 6:
                break
        rows.append({**row, "seconds": sorted(taken)[len(taken) // 2]})
        first_tiles = first_tiles or {**row, "what": "first tiles", "seconds": taken[0] - rows[-1]["seconds"]}
    return [{**first_tiles, "seconds": max(0.0, first_tiles["seconds"])}, *rows]


def _part(image: np.ndarray, box: Box) -> np.ndarray:
    return image[(slice(None), *box)]


def calibration_table(calibrations: dict[str, dict]) -> str:
    """The measurements of one or more models, {name: of `calibrate`}, as tab-separated text with a header."""
    columns = ("what", "voxels", "axes", "tiles", "passes", "seconds")
    lines = ["\t".join(("model", "device", "threads", "patch", *columns))]
    for name, calibration in calibrations.items():
        head = (name, calibration["device"], calibration["threads"], "x".join(map(str, calibration["patch"])))
        for row in calibration["rows"]:
            values = (*head, *(row[column] for column in columns[:-1]), f"{row['seconds']:.4g}")
            lines.append("\t".join(str(value) for value in values))
    return "\n".join(lines) + "\n"


def check_calibration(calibration: dict | None, model: ModelFolder, device: str) -> dict:
    """`calibration` if it was measured for this model's patch on this device (a GPU of this name), else InputError."""
    if calibration is None:
        raise InputError(
            "predict.mirroring is 'budget' but nothing was measured", mend="run the target 'calibrate' first"
        )
    here = device_name(device)
    if calibration["patch"] != list(model.patch_size) or calibration["device"] != here:
        raise InputError(
            f"was measured for patch {calibration['patch']} on {calibration['device']}, "
            f"the model has {list(model.patch_size)} on {here}",
            where="calibration",
            mend="run the target 'calibrate' on this machine with this model",
        )
    return calibration
