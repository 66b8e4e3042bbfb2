"""The lesion ensemble: all folds of one tracer's model, loaded once, on whole PET/CT volumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from clickpet.body import body_box
from clickpet.errors import InputError
from clickpet.images import spacing_mm
from clickpet.mirroring import mirror_axes_for, mirrorings
from clickpet.model_folder import ModelFolder, load_checkpoint, load_network, mirroring_axes, read_model_folder
from clickpet.network_grid import NetworkGrid, content_box
from clickpet.sliding_window import Tiling, Window, slide, tiling

#: Options that make `LesionEnsemble.predict` do what nnU-Net's own predictor does (given the model's mirroring axes).
STOCK = {"tile_step": 0.5, "mirror_axes": (0, 1, 2), "body_box": False, "fold_average": "logits"}
#: Activations of one forward pass may take about this much memory; it decides how many mirrored tiles go at once.
BATCH_BYTES = 4 * 2**30
MAX_BATCH = 8


@dataclass(frozen=True)
class Prediction:
    """mask : uint8 (x, y, z), 1 lesion, on the PET grid, whose affine is `affine`.

    details : axes, members, tiles, mean disagreement, seconds of each part (see `LesionEnsemble.predict`).
    disagreement : float32 (x, y, z), standard deviation of the lesion probability over the folds, or None.
    """

    mask: np.ndarray
    affine: np.ndarray
    details: dict
    disagreement: np.ndarray | None = None


class LesionEnsemble:
    """The networks of some folds of one model folder, ready to predict."""

    def __init__(
        self,
        model: ModelFolder,
        folds: Sequence[int | str],
        networks: Sequence[torch.nn.Module],
        *,
        allowed_axes: Sequence[int] = (0, 1, 2),
        device: str | torch.device = "cpu",
    ):
        self.model = model
        self.folds = list(folds)
        self.networks = list(networks)
        self.allowed_axes = tuple(allowed_axes)
        self.device = torch.device(device)

    @classmethod
    def load(cls, model_folder, folds: Sequence[int | str], *, device: str | torch.device = "cpu") -> LesionEnsemble:
        """Read plans and checkpoints of `folds` from `model_folder`; the networks go to `device`.

        Raises InputError if there is no fold, or a file is missing, broken, hostile or does not fit.
        """
        if not folds:
            raise InputError("no folds given for an ensemble", where=model_folder, mend="list them under 'folds'")
        model = read_model_folder(model_folder)
        networks = [load_network(model, fold, device=device) for fold in folds]
        allowed = mirroring_axes(load_checkpoint(model.checkpoint(folds[0])))
        return cls(model, folds, networks, allowed_axes=allowed, device=device)

    def predict(self, ct, suv, heatmap, affine, **options) -> Prediction:
        """Lesions of one case.

        ct : HU, suv : g/ml, heatmap : [-1, 1], all (x, y, z) on one grid;  affine : that grid's.

        tile_step : distance of tiles as part of their size (0.6).  mirror_axes : network axes (0 z, 1 y, 2 x) to
        mirror, None: by the number of voxels as in the paper; axes that training did not mirror are left out.
        body_box : tiles over the body's box only (True).  fold_average : "softmax" or "logits".
        disagreement : also make the map (False).  batch : tiles in one forward pass (by memory).

        Memory besides the three inputs and the weights: the three channels, the sum and (for several folds)
        its spread as float32 volumes of the network's grid, one tile per fold and what a forward pass takes.
        Raises InputError if shapes differ or an option makes no sense.
        """
        return next(self.predict_steps(ct, suv, [heatmap], affine, **options))

    def predict_steps(
        self,
        ct: np.ndarray,
        suv: np.ndarray,
        heatmaps: Iterable[np.ndarray],
        affine: np.ndarray,
        *,
        tile_step: float = 0.6,
        mirror_axes: Sequence[int] | None = (0, 1, 2),
        body_box: bool = True,
        fold_average: str = "softmax",
        disagreement: bool = False,
        batch: int | None = None,
    ) -> Iterator[Prediction]:
        """Lesions of one case for one heatmap after another; options as for `predict`.

        CT and PET are prepared once. A heatmap equal to the one before gives that prediction again at no
        cost; every prediction is what `predict` gives for its heatmap.
        """
        _check(ct, suv, tile_step, fold_average)
        axes = mirror_axes_for(suv.size) if mirror_axes is None else tuple(sorted(mirror_axes))
        axes = tuple(axis for axis in axes if axis in self.allowed_axes)
        batch = batch or self._batch(len(mirrorings(axes)))
        grid = tiles = image = before = prediction = None
        images_box = content_box([ct, suv])
        for heatmap in heatmaps:
            if heatmap.shape != suv.shape:
                raise InputError(f"heatmap {heatmap.shape} and PET {suv.shape} differ in shape")
            if prediction is not None and np.array_equal(heatmap, before):
                yield replace(prediction, details={**prediction.details, "seconds": {}})
                continue
            clock = _Clock()
            content = _union(images_box, content_box([heatmap])) if heatmap.any() else images_box
            if grid is None or content != grid.content:
                grid = NetworkGrid(self.model, suv.shape, affine, content)
                image = torch.empty((3, *grid.shape), dtype=torch.float32)
                image[0], image[1] = (torch.from_numpy(grid.channel(i, array)) for i, array in enumerate((ct, suv)))
                clock.lap("prepare")
                tiles = self._tiling(grid, ct, suv, affine, tile_step, body_box)
                clock.lap("body_box")
            image[2] = torch.from_numpy(grid.channel(2, heatmap))
            clock.lap("prepare")
            window = slide(
                self.networks,
                image,
                tiles,
                mirror_axes=axes,
                batch=batch,
                average=fold_average,
                with_spread=len(self.folds) > 1,
                device=self.device,
            )
            clock.lap("window")
            prediction = self._prediction(grid, window, affine, disagreement)
            clock.lap("resample_back")
            prediction.details.update(
                mirror_axes=list(axes),
                members=self.folds,
                tiles=len(tiles),
                forward_passes=len(tiles) * len(mirrorings(axes)) * len(self.folds),
                tile_step=tile_step,
                body_box=body_box,
                fold_average=fold_average,
                voxels=int(suv.size),
                network_grid=list(grid.shape),
                seconds=clock.seconds,
            )
            before = heatmap
            yield prediction

    def _tiling(self, grid: NetworkGrid, ct, suv, affine, tile_step: float, of_body: bool) -> Tiling:
        box = grid.box(body_box(ct, suv, spacing_mm(affine))) if of_body else None
        return tiling(grid.shape, self.model.patch_size, tile_step, box)

    def _batch(self, n_mirrorings: int) -> int:
        """Tiles per forward pass: whole sets of mirrorings if memory allows, at most eight."""
        features = self.model.configuration.network_arch_init_kwargs.get("features_per_stage", [32])[0]
        tile_bytes = float(np.prod(self.model.patch_size)) * features * 4 * 4
        fitting = int(max(1, min(MAX_BATCH, BATCH_BYTES // tile_bytes)))
        return 1 << (fitting.bit_length() - 1) if fitting < n_mirrorings else fitting

    def _prediction(self, grid: NetworkGrid, window: Window, affine, with_map: bool) -> Prediction:
        mask = grid.mask(window.lesion, window.box)
        details = {"disagreement": None}
        if window.spread is not None:
            inside = window.lesion > 0
            details["disagreement"] = float(window.spread[inside].mean(dtype=np.float64)) if inside.any() else 0.0
        spread = grid.image(window.spread, window.box) if with_map and window.spread is not None else None
        return Prediction(mask, affine, details, spread)


class _Clock:
    """Seconds spent in named parts."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def _check(ct, suv, tile_step, fold_average) -> None:
    if ct.shape != suv.shape:
        raise InputError(f"CT {ct.shape} and PET {suv.shape} differ in shape", mend="resample CT onto the PET grid")
    if not 0 < tile_step <= 1:
        raise InputError(f"predict.tile_step is {tile_step}", mend="give a part of a tile, above 0 and at most 1")
    if fold_average not in ("softmax", "logits"):
        raise InputError(f"fold_average is {fold_average!r}", mend="give 'softmax' or 'logits'")


def _union(box_a, box_b):
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box_a, box_b, strict=True))
