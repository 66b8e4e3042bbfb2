"""Inference by the ensemble of folds of one lesion model on whole PET/CT volumes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import ModelFolder, load_checkpoint, load_network, mirroring_axes, read_model_folder
from clickpet.predict.accelerator import free_bytes
from clickpet.predict.mirroring import mirrorings
from clickpet.predict.prediction import Prediction
from clickpet.predict.study_predictor import StudyPredictor

#: Options that make `LesionEnsemble.predict` do what nnU-Net's own predictor does, down to its rounding.
NNUNET_OPTIONS = {
    "tile_step": 0.5,
    "mirror_axes": (0, 1, 2),
    "body_box": False,
    "fold_average": "logits",
    "nnunet_arithmetic": True,
}
#: A forward pass holds this many feature maps of full resolution at its worst moment (measured, patch 192).
FEATURE_MAPS = 5.6
#: Activations of a forward pass on a CPU may take about this much memory, and on a GPU this share of what is free;
#: it decides how many mirrored tiles go at once.
CPU_BATCH_BYTES = FEATURE_MAPS * 2**30
GPU_SHARE = 0.6
MAX_BATCH = 8
#: Outputs of tiles that may be kept from one prediction of a study to the next: some 70 tiles of 192 voxels.
MEMORY_LIMIT_BYTES = 2 * 2**30


class LesionEnsemble:
    """The networks of some folds of one model folder, ready to predict.

    networks : one a fold, in eval mode on `device`: (n, channels, z, y, x) to logits (n, 2, z, y, x);
    allowed_axes : those that training mirrored;  lock : held during forward passes (None: a lock of its own);
    same_bits : what `KeptTiles` found out about these networks.
    """

    def __init__(
        self,
        model: ModelFolder,
        folds: Sequence[int | str],
        networks: Sequence[torch.nn.Module],
        *,
        allowed_axes: Sequence[int] = (0, 1, 2),
        device: str | torch.device = "cpu",
        lock: AbstractContextManager | None = None,
    ):
        self.model = model
        self.folds = list(folds)
        self.networks = list(networks)
        self.allowed_axes = tuple(allowed_axes)
        self.device = torch.device(device)
        self.lock = lock or threading.Lock()
        self.same_bits: dict[tuple, bool] = {}

    @classmethod
    def load(
        cls,
        model_folder: str | Path,
        folds: Sequence[int | str],
        *,
        device: str | torch.device = "cpu",
        lock: AbstractContextManager | None = None,
        networks: MutableMapping[tuple[Path, str], torch.nn.Module] | None = None,
    ) -> LesionEnsemble:
        """Read plans and checkpoints of `folds` from `model_folder`; the networks go to `device`.

        networks : loaded before on this device, by model folder and fold, so that they are taken; others are added.
        Raises InputError if there is no fold, or a file is missing, broken, hostile or does not fit.
        """
        if not folds:
            raise InputError("no folds given for an ensemble", where=model_folder, mend="list them under 'folds'")
        model = read_model_folder(model_folder)
        if torch.device(device).type == "cuda":
            torch.backends.cudnn.benchmark = True  # every tile has the same shape
        networks = {} if networks is None else networks
        places = [(Path(model_folder), str(fold)) for fold in folds]
        for place, fold in zip(places, folds, strict=True):
            if place not in networks:
                networks[place] = load_network(model, fold, device=device)
        allowed = mirroring_axes(load_checkpoint(model.checkpoint(folds[0])))
        members = [networks[place] for place in places]
        return cls(model, folds, members, allowed_axes=allowed, device=device, lock=lock)

    def predict(
        self, *, ct: np.ndarray, suv: np.ndarray, heatmap: np.ndarray, affine: np.ndarray, **options
    ) -> Prediction:
        """Lesions of one case.

        ct : HU, suv : g/ml, heatmap : [-1, 1], all (x, y, z) on one grid;  affine : that grid's.

        tile_step : distance of tiles as part of their size (0.6).  mirror_axes : network axes (0 z, 1 y, 2 x) to
        mirror, or a function that gives them for a Workload; axes that training did not mirror are left out.
        body_box : tiles over the body's box only (True).  fold_average : "softmax" or "logits" ("softmax").
        disagreement : the map that is made too: of "lesions" or "everywhere" ("none").
        threshold : a voxel is lesion if the ensemble's probability is above (0.5).  save_probability : the map of that
        probability is made too (False), or, with lesion_probability, its part in the mask (False).
        batch : tiles in one forward pass (as many as memory allows when the case begins).
        nnunet_arithmetic : prepare and round as nnU-Net does, see `clickpet.predict.nnunet_sliding_window`: then logits
        are averaged and there is no disagreement (False).  `**NNUNET_OPTIONS` is all of that and nnU-Net's tiles.

        Memory besides the three inputs and the weights, all float32: one volume of the box on the network's grid
        (one more for the map, three more where the case needs resampling), a tile per fold, and per tile of a
        forward pass its input twice and what the network takes. That is 0.6 GB and the network for 400 x 400 x 326
        voxels, patch 192 and five folds. On a CPU the result is the same bit for bit at the same number of threads.
        Raises InputError if shapes differ or an option makes no sense.
        """
        return StudyPredictor(self, ct=ct, suv=suv, affine=affine, **options).predict(heatmap)

    def predict_steps(
        self,
        *,
        ct: np.ndarray,
        suv: np.ndarray,
        heatmaps: Iterable[np.ndarray],
        affine: np.ndarray,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        **options,
    ) -> Iterator[Prediction]:
        """Lesions of one case for one heatmap after another; every prediction is what `predict` gives for its heatmap.

        Arguments are those of `predict` and of `StudyPredictor`, which computes only what a heatmap changes.
        """
        study = StudyPredictor(self, ct=ct, suv=suv, affine=affine, memory_limit_bytes=memory_limit_bytes, **options)
        return map(study.predict, heatmaps)

    def batch_for(self, axes: Sequence[int]) -> int:
        """Tiles per forward pass: as many as fit the memory that is free, at most eight; a power of two below that."""
        features = self.model.configuration.network_arch_init_kwargs.get("features_per_stage", [32])[0]
        value_bytes = 2 if self.device.type == "cuda" else 4
        tile_bytes = float(np.prod(self.model.patch_size)) * features * FEATURE_MAPS * value_bytes
        free = free_bytes(self.device)
        budget = CPU_BATCH_BYTES if free is None else GPU_SHARE * free
        fitting = int(max(1, min(MAX_BATCH, budget // tile_bytes)))
        return 1 << (fitting.bit_length() - 1) if fitting < len(mirrorings(axes)) else fitting
