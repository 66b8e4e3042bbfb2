"""One case of the workflow from its files to its lesion mask: which folds, how deep, and what it cost."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.images import Image, grid_text, read_image, same_grid


@dataclass(frozen=True)
class Scan:
    """CT (HU) and PET (SUV, g/ml) of one case, float32 (x, y, z) on one grid."""

    ct: np.ndarray
    suv: np.ndarray
    affine: np.ndarray


def member_folds(slug: str, split: str, folds: Sequence[int | str], case_folds: dict[str, int]) -> list[int | str]:
    """The folds whose models may see a case.

    A training case is predicted by the one fold that held its patient out (`case_folds[slug]`); any other case by
    all of `folds`. Raises InputError if that fold was not trained or the case is in no fold.
    """
    if split != "train":
        return list(folds)
    fold = case_folds.get(slug)
    if fold is None:
        raise InputError(
            f"training case {slug} is in no fold", where="splits.json", mend="remove the file and make it again"
        )
    if str(fold) not in [str(other) for other in folds]:
        raise InputError(
            f"training case {slug} was held out by fold {fold}, which 'folds' leaves out",
            where="config",
            mend=f"add {fold} to 'folds' or give the case the split 'predict'",
        )
    return [fold]


def read_scan(ct: str | Path, suv: str | Path) -> Scan:
    """Read CT and PET; InputError if they are not on one grid."""
    pet = read_image(suv, np.float32)
    return Scan(_on_grid_of(pet, ct), pet.array, pet.affine)


def read_heatmap(path: str | Path, scan: Scan) -> np.ndarray:
    """Read a heatmap on the grid of `scan`; InputError if it is on another."""
    return _on_grid_of(Image(scan.suv, scan.affine), path)


def _on_grid_of(pet: Image, path: str | Path) -> np.ndarray:
    image = read_image(path, np.float32)
    if not same_grid(image.shape, image.affine, pet.shape, pet.affine):
        raise InputError(
            f"is {grid_text(image.shape, image.affine)}, the PET is {grid_text(pet.shape, pet.affine)}",
            where=path,
            mend="make both on one grid (rule import_case does)",
        )
    return image.array


def best_device() -> str:
    """The first GPU if there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def predict_scan(
    read_inputs,
    model_folder: str | Path,
    members: Sequence[int | str],
    *,
    tile_step: float = 0.6,
    mirroring: str = "voxels",
    voxel_limits: Sequence[float] = (18e6, 39e6, 90e6),
    time_limit_s: float | None = None,
    body_box: bool = True,
    fold_average: str = "softmax",
    disagreement: bool = False,
    calibration: dict | None = None,
) -> Iterator:
    """Predictions of one case for each of its heatmaps, each with a full record in `details`.

    read_inputs : called while the models load; gives a Scan and an iterable of heatmaps.
    mirroring : "voxels" (axes by `voxel_limits`, the paper) or "budget" (as many axes as fit `time_limit_s`
    by `calibration`, the table of `clickpet.calibrate`); other options as in the config's section `predict`.
    """
    start = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load, model_folder, members)
        scan, heatmaps = read_inputs()
        ensemble = loading.result()
    loading_s = time.perf_counter() - start
    from clickpet.mirroring import mirror_axes_for

    plan = {"mirroring": mirroring, "expected_s": None, "time_limit_s": time_limit_s}
    if mirroring == "voxels":
        axes = mirror_axes_for(scan.suv.size, voxel_limits)
    else:
        raise InputError(f"predict.mirroring is {mirroring!r}", mend="give 'voxels' or 'budget'")
    steps = ensemble.predict_steps(
        scan.ct,
        scan.suv,
        heatmaps,
        scan.affine,
        tile_step=tile_step,
        mirror_axes=axes,
        body_box=body_box,
        fold_average=fold_average,
        disagreement=disagreement,
    )
    for prediction in steps:
        prediction.details.update(plan, device=str(ensemble.device), peak_memory_mb=peak_memory_mb())
        prediction.details["seconds"]["load"] = loading_s
        prediction.details["seconds"]["total"] = time.perf_counter() - start
        yield prediction


def _load(model_folder, members):
    from clickpet.ensemble import LesionEnsemble

    return LesionEnsemble.load(model_folder, members, device=best_device())


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
