"""Inference of one case of the workflow: member folds, mirroring, masks, times and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clickpet.components import DROPPED_CONNECTIVITY, mean_of_components
from clickpet.devices import choose_device
from clickpet.errors import InputError
from clickpet.files import replacing
from clickpet.geometry import grid_texts, same_grid
from clickpet.images import Image, read_image, write_image
from clickpet.ingest.petct import PetCt
from clickpet.predict.mirroring import Workload, expected_s, mirror_axes_for, plan_axes

if TYPE_CHECKING:
    from clickpet.predict.ensemble import Prediction


#: Keys of the config's section `predict` that are no options of `predict_scan`.
NOT_OF_INFERENCE = ("models", "save_disagreement", "save_probability")


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
            f"training case {slug} is in no fold", where="splits.json", mend="draw the folds again, with this case"
        )
    if str(fold) not in [str(other) for other in folds]:
        raise InputError(
            f"training case {slug} was held out by fold {fold}, which 'folds' leaves out",
            where="config",
            mend=f"add {fold} to 'folds' or give the case the split 'predict'",
        )
    return [fold]


def read_scan(*, ct: str | Path, suv: str | Path) -> PetCt:
    """Read CT and PET of a case of the workflow; InputError if they are not on one grid."""
    pet = read_image(suv, np.float32)
    return PetCt(ct=_on_grid_of(pet, ct), suv=pet.array, affine=pet.affine)


def read_heatmap(path: str | Path, scan: PetCt) -> np.ndarray:
    """Read a heatmap on the grid of `scan`; InputError if it is on another."""
    return _on_grid_of(Image(scan.suv, scan.affine), path)


def _on_grid_of(pet: Image, path: str | Path) -> np.ndarray:
    image = read_image(path, np.float32)
    if not same_grid(image.shape, image.affine, pet.shape, pet.affine):
        own, wanted = grid_texts(image.shape, image.affine, pet.shape, pet.affine)
        raise InputError(
            f"is {own}, the PET is {wanted}",
            where=path,
            mend="resample it onto the grid of the PET",
        )
    return image.array


def predict_scan(
    read_inputs: Callable[[], tuple[PetCt, Iterable[np.ndarray]]],
    model_folder: str | Path,
    members: Sequence[int | str],
    *,
    mirroring: str = "voxels",
    voxel_limits: Sequence[float] = (18e6, 39e6, 90e6),
    time_limit_s: float | None = None,
    calibration: dict | None = None,
    device: str | None = None,
    networks: dict | None = None,
    **options,
) -> Iterator[Prediction]:
    """Predictions of one case for each of its heatmaps, each with a full record in `details`.

    read_inputs : called while the models load; gives CT and PET and their heatmaps.
    mirroring : "voxels" (axes by `voxel_limits`, the paper) or "budget" (the most axes that fit `time_limit_s` by
    `calibration`, a table of `clickpet.predict.calibrate`).  device : None takes a GPU if there is one.
    options : further options of `LesionEnsemble.predict`: tile_step, body_box, fold_average, threshold,
    disagreement, save_probability, lesion_probability.

    Besides those of `Prediction`, details hold "mirroring", "expected_axes" (what the rule gives; "mirror_axes" leaves
    out those that training did not mirror), "expected_s" (None without a calibration), "time_limit_s", "fits" (in
    budget mode: whether "expected_s" is within the limit; a case that does not fit is run without mirroring), "device",
    "peak_memory_mb", "peak_gpu_memory_mb" (of tensors, weights included; None without an NVIDIA GPU), and in
    "seconds" also "load" (models and inputs) and "total".
    """
    from clickpet.predict.accelerator import forget_peak_memory, peak_gpu_memory_mb

    start = time.perf_counter()
    device = device or choose_device(apple=True)
    forget_peak_memory(device)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load, model_folder, members, device, networks)
        scan, heatmaps = read_inputs()
        ensemble = loading.result()
    load_s = time.perf_counter() - start
    axes, expected_s = mirroring_planner(ensemble, mirroring, voxel_limits, time_limit_s, calibration)
    for prediction in ensemble.predict_steps(
        ct=scan.ct, suv=scan.suv, heatmaps=heatmaps, affine=scan.affine, mirror_axes=axes, **options
    ):
        done = prediction.details
        workload = Workload(done["voxels"], done["tiles"], len(members))
        expected = expected_s(workload, len(done["mirror_axes"]))
        done.update(
            mirroring=mirroring,
            expected_axes=list(axes(workload)),
            expected_s=expected,
            time_limit_s=time_limit_s,
            fits=expected <= time_limit_s if mirroring == "budget" else None,
            device=device,
            peak_memory_mb=peak_memory_mb(),
            peak_gpu_memory_mb=peak_gpu_memory_mb(device),
        )
        done["seconds"].update(load=load_s, total=time.perf_counter() - start)
        yield prediction


def cost_text(details: dict) -> str:
    """What a prediction took, what was expected of it and, in budget mode, what it was allowed: a line or two."""
    work = (
        f"{details['forward_passes']} forward passes ({details['tiles']} tiles, axes {details['mirror_axes']}, "
        f"{len(details['members'])} networks) in {details['seconds']['total']:.1f} s"
    )
    if details["expected_s"] is None:
        return work
    work += f", expected {details['expected_s']:.1f} s"
    if details["mirroring"] != "budget":
        return work
    work += f", allowed {details['time_limit_s']:g} s"
    if not details["fits"]:
        work += "\nwarning: even without mirroring it was not expected to fit the time limit"
    return work


def mirroring_planner(ensemble, mirroring, voxel_limits, time_limit_s, calibration):
    """Two functions: mirroring axes of a workload, and the seconds expected of a workload at a number of axes.

    Arguments are those of `predict_scan`, with the loaded ensemble. Raises InputError for options that make no sense.
    """
    if mirroring not in ("voxels", "budget"):
        raise InputError(f"predict.mirroring is {mirroring!r}", mend="give 'voxels' or 'budget'")
    if mirroring == "voxels" and calibration is None:
        return (lambda workload: mirror_axes_for(workload.voxels, voxel_limits)), (lambda workload, n_axes: None)
    from clickpet.predict.calibrate import check_calibration

    table = check_calibration(calibration, ensemble.model, str(ensemble.device))
    if mirroring == "voxels":
        return (lambda workload: mirror_axes_for(workload.voxels, voxel_limits)), partial(expected_s, table)
    if not time_limit_s or time_limit_s <= 0:
        raise InputError(f"predict.time_limit_s is {time_limit_s}", mend="give the seconds that a case may take")
    return (lambda workload: plan_axes(table, workload, time_limit_s=time_limit_s)[0]), partial(expected_s, table)


def _load(model_folder, members, device, networks):
    from clickpet.predict.ensemble import LesionEnsemble

    return LesionEnsemble.load(model_folder, members, device=device, networks=networks)


def write_masks(
    paths: Iterable[str | Path],
    predictions: Iterable[Prediction],
    probability_paths: Iterable[str | Path] = (),
) -> None:
    """Write each prediction's mask to its path; a mask is compressed while the next one is computed.

    probability_paths : where `write_component_probabilities` writes those of each mask, if it is to.
    """
    if probability_paths:
        predictions = _with_probabilities_written(predictions, probability_paths)
    with ThreadPoolExecutor(1) as pool:
        writing = [
            pool.submit(write_image, path, prediction.mask, prediction.affine)
            for path, prediction in zip(paths, predictions, strict=True)
        ]
        for written in writing:
            written.result()


def _with_probabilities_written(predictions: Iterable[Prediction], paths) -> Iterator[Prediction]:
    for prediction, path in zip(predictions, paths, strict=True):
        write_component_probabilities(path, prediction)
        yield prediction


def write_lesion_disagreement(path: str | Path, prediction: Prediction) -> None:
    """Write the disagreement of the mask's voxels alone, float32 (n,) in C order; none where one fold predicted."""
    spread = prediction.disagreement
    values = np.empty(0, np.float32) if spread is None else spread[prediction.mask != 0]
    with replacing(path) as temporary:
        np.save(temporary, values)


def write_disagreement(path: str | Path, prediction: Prediction) -> None:
    """Write the map of disagreement, rounded to thousandths; not a number everywhere where one fold predicted."""
    spread = prediction.disagreement
    if spread is None:
        spread = np.full(prediction.mask.shape, np.nan, dtype=np.float32)
    write_image(path, np.round(spread, 3), prediction.affine)


def write_probability(path: str | Path, prediction: Prediction) -> None:
    """Write the map of probability: numbers of half precision, stored as float32, since NIfTI has no float16."""
    write_image(path, prediction.probability.astype(np.float32), prediction.affine)


def component_probabilities(prediction: Prediction) -> np.ndarray:
    """Mean lesion probability of each component (26-connected) of a mask, float32; see `mean_of_components`."""
    return mean_of_components(prediction.mask, prediction.probability, DROPPED_CONNECTIVITY)


def write_component_probabilities(path: str | Path, prediction: Prediction) -> None:
    """Write the mean lesion probability of each component of the mask."""
    with replacing(path) as temporary:
        np.save(temporary, component_probabilities(prediction))


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
