"""Inference by the ensemble of folds of one lesion model on whole PET/CT volumes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import expit

from clickpet.errors import InputError
from clickpet.geometry import Turn, orientation
from clickpet.nnunet.model_folder import ModelFolder, load_checkpoint, load_network, mirroring_axes, read_model_folder
from clickpet.nnunet.nonzero_box import Box, nonzero_box
from clickpet.predict.accelerator import free_bytes
from clickpet.predict.body import body_box
from clickpet.predict.finite_logits import NonFiniteLogitsError
from clickpet.predict.mirroring import Workload, mirrorings
from clickpet.predict.network_grid import NetworkGrid, NetworkInput
from clickpet.predict.nnunet_sliding_window import nnunet_sliding_window
from clickpet.predict.sliding_window import Tiling, sliding_window_inference, tiling

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


@dataclass(frozen=True)
class Prediction:
    """mask : uint8 (x, y, z), 1 lesion, on the PET grid, whose affine is `affine`.

    details : "mirror_axes", "members", "tiles", "forward_passes", "batch" (tiles in a forward pass), "voxels",
    "network_grid", "disagreement" (mean over the lesion, see `SlidingWindowOutput.mean_spread`; 0 without lesion, None
    for one fold), "seconds" of each part, "orientation" (of the study's own axes).
    disagreement : float32 (x, y, z), standard deviation of the lesion probability over the folds, in the mask or
    everywhere as asked for, else 0; None if not asked for or for one fold.
    probability : float16 (x, y, z), the ensemble's lesion probability, 0 where no tile looked and, if it was asked for
    in the mask alone, outside of it; None if not asked for.
    """

    mask: np.ndarray
    affine: np.ndarray
    details: dict
    disagreement: np.ndarray | None = None
    probability: np.ndarray | None = None


@dataclass(frozen=True)
class InferenceOptions:
    """Options of inference; see `LesionEnsemble.predict`."""

    tile_step: float = 0.6
    mirror_axes: Sequence[int] | Callable[[Workload], Sequence[int]] = (0, 1, 2)
    body_box: bool = True
    fold_average: str = "softmax"
    disagreement: str = "none"
    threshold: float = 0.5
    save_probability: bool = False
    lesion_probability: bool = False
    batch: int | None = None
    nnunet_arithmetic: bool = False

    def __post_init__(self):
        if not 0 < self.tile_step <= 1:
            raise InputError(
                f"predict.tile_step is {self.tile_step}", mend="give a part of a tile, above 0 and at most 1"
            )
        if self.fold_average not in ("softmax", "logits"):
            raise InputError(f"fold_average is {self.fold_average!r}", mend="give 'softmax' or 'logits'")
        if self.disagreement not in ("none", "lesions", "everywhere"):
            raise InputError(f"disagreement is {self.disagreement!r}", mend="give 'none', 'lesions' or 'everywhere'")
        if not 0 < self.threshold < 1:
            raise InputError(f"predict.threshold is {self.threshold}", mend="give a probability between 0 and 1")
        if self.nnunet_arithmetic and (self.threshold != 0.5 or self.save_probability or self.lesion_probability):
            raise ValueError("nnunet_arithmetic compares two logits: it has no threshold and no probability map")

    @property
    def lesion_above(self) -> float:
        """What the ensemble's mean difference exceeds in a lesion: 0 at a threshold of one half."""
        if self.fold_average == "logits":
            return math.log(self.threshold / (1 - self.threshold))
        return 2 * self.threshold - 1

    def probability(self, difference: np.ndarray) -> np.ndarray:
        """Lesion probability of mean differences of probabilities, p - (1 - p), or of logits."""
        return expit(difference) if self.fold_average == "logits" else (difference + 1) / 2


class LesionEnsemble:
    """The networks of some folds of one model folder, ready to predict.

    networks : one a fold, in eval mode on `device`: (n, channels, z, y, x) to logits (n, 2, z, y, x);
    allowed_axes : those that training mirrored.
    """

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
        if torch.device(device).type == "cuda":
            torch.backends.cudnn.benchmark = True  # every tile has the same shape
        networks = [load_network(model, fold, device=device) for fold in folds]
        allowed = mirroring_axes(load_checkpoint(model.checkpoint(folds[0])))
        return cls(model, folds, networks, allowed_axes=allowed, device=device)

    def predict(self, ct, suv, heatmap, affine, **options) -> Prediction:
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
        return next(self.predict_steps(ct, suv, [heatmap], affine, **options))

    def predict_steps(self, ct, suv, heatmaps: Iterable[np.ndarray], affine, **options) -> Iterator[Prediction]:
        """Lesions of one case for one heatmap after another; arguments as for `predict`.

        CT and PET are prepared once. A heatmap that gives the network what it saw just before gives that
        prediction again at no cost; every prediction is what `predict` gives for its heatmap.

        The networks see the axes as in training, CANONICAL, whatever the order in which the study is stored; masks and
        maps come out in the study's own order. Raises InputError where a network gives NaN or infinite values.
        """
        turn = Turn.between(affine)
        turned = (turn.array(ct), turn.array(suv), map(turn.array, heatmaps), turn.affine(suv.shape, affine))
        steps = self._canonical_steps(*turned, **options)
        while True:
            try:
                prediction = next(steps, None)
            except NonFiniteLogitsError as error:
                raise self._not_finite(self.folds[error.member]) from error
            if prediction is None:
                return
            maps = {name: getattr(prediction, name) for name in ("disagreement", "probability")}
            yield replace(
                prediction,
                mask=turn.back(prediction.mask),
                affine=affine,
                details={**prediction.details, "orientation": orientation(affine)},
                **{name: None if image is None else turn.back(image) for name, image in maps.items()},
            )

    def _not_finite(self, fold: int | str) -> InputError:
        return InputError(
            f"fold {fold} gave values that are not finite (NaN or infinite)",
            where=self.model.checkpoint(fold),
            mend="train or import this fold again, or leave it out of 'folds'",
        )

    def _canonical_steps(self, ct, suv, heatmaps: Iterable[np.ndarray], affine, **options) -> Iterator[Prediction]:
        """`predict_steps` of volumes whose axes are CANONICAL."""
        options = InferenceOptions(**options)
        if ct.shape != suv.shape:
            raise InputError(f"CT {ct.shape} and PET {suv.shape} differ in shape", mend="resample CT onto the PET grid")
        scan_box = nonzero_box([ct, suv])
        case = prediction = seen = None
        for heatmap in heatmaps:
            if heatmap.shape != suv.shape:
                raise InputError(f"heatmap {heatmap.shape} and PET {suv.shape} differ in shape")
            clock = _Clock()
            clicks_box = nonzero_box([heatmap])
            content = union(scan_box, clicks_box) if heatmap[clicks_box].any() else scan_box
            if case is None or case.grid.content != content:
                batch = case.batch if case else options.batch
                case, seen = self._prepare(ct, suv, heatmap, affine, content, replace(options, batch=batch)), None
            elif not (seen[0] == clicks_box and np.array_equal(seen[1], heatmap[clicks_box])):
                case.image.replace(2, heatmap)
                seen = None
            clock.lap("prepare")
            if seen is None:
                prediction = self._run(case, affine, options, clock)
                seen = clicks_box, heatmap[clicks_box].copy()
            yield replace(prediction, details={**prediction.details, "seconds": clock.seconds})

    def _prepare(self, ct, suv, heatmap, affine, content: Box, options: InferenceOptions) -> _PreparedCase:
        grid = NetworkGrid(self.model, suv.shape, affine, content, own_resampling=not options.nnunet_arithmetic)
        box = grid.box(body_box(ct=ct, suv=suv, affine=affine)) if options.body_box else None
        tiles = tiling(grid.shape, self.model.patch_size, options.tile_step, box)
        axes = options.mirror_axes
        if callable(axes):
            axes = axes(Workload(suv.size, len(tiles), len(self.folds)))
        axes = tuple(axis for axis in sorted(axes) if axis in self.allowed_axes)
        image = NetworkInput(grid, [ct, suv, heatmap], tiles.box)
        return _PreparedCase(grid, tiles, axes, image, options.batch or self.batch_for(axes))

    def _run(self, case: _PreparedCase, affine, options: InferenceOptions, clock: _Clock) -> Prediction:
        how = {"mirror_axes": case.axes, "batch": case.batch, "device": self.device}
        if options.nnunet_arithmetic:
            window = nnunet_sliding_window(self.networks, case.image.read, case.tiles, **how)
        else:
            how.update(
                average=options.fold_average,
                with_spread=options.disagreement != "none",
                lesion_above=options.lesion_above,
            )
            window = sliding_window_inference(self.networks, case.image.read, case.tiles, **how)
        case.batch = window.batch
        clock.lap("window")
        mask = case.grid.mask(window.lesion, window.box, above=options.lesion_above)
        details = {
            "mirror_axes": list(case.axes),
            "members": self.folds,
            "tiles": len(case.tiles),
            "forward_passes": len(case.tiles) * len(mirrorings(case.axes)) * len(self.folds),
            "batch": case.batch,
            "voxels": int(mask.size),
            "network_grid": list(case.grid.shape),
            "disagreement": window.mean_spread if len(self.folds) > 1 and not options.nnunet_arithmetic else None,
        }
        spread = None
        if window.spread is not None:
            where = mask if options.disagreement == "lesions" else None
            spread = case.grid.image(window.spread, window.box, where)
        probability = None
        if options.save_probability or options.lesion_probability:
            where = None if options.save_probability else mask
            probability = case.grid.image(
                window.lesion, window.box, where, dtype=np.float16, of_value=options.probability
            )
        clock.lap("resample_back")
        return Prediction(mask, affine, details, spread, probability)

    def batch_for(self, axes: Sequence[int]) -> int:
        """Tiles per forward pass: as many as fit the memory that is free, at most eight; a power of two below that."""
        features = self.model.configuration.network_arch_init_kwargs.get("features_per_stage", [32])[0]
        value_bytes = 2 if self.device.type == "cuda" else 4
        tile_bytes = float(np.prod(self.model.patch_size)) * features * FEATURE_MAPS * value_bytes
        free = free_bytes(self.device)
        budget = CPU_BATCH_BYTES if free is None else GPU_SHARE * free
        fitting = int(max(1, min(MAX_BATCH, budget // tile_bytes)))
        return 1 << (fitting.bit_length() - 1) if fitting < len(mirrorings(axes)) else fitting


@dataclass
class _PreparedCase:
    """A case on the network's grid; channel 2 of the image, the heatmap, is replaced between predictions.

    batch : tiles in one forward pass; it is lowered where the memory does not suffice.
    """

    grid: NetworkGrid
    tiles: Tiling
    axes: tuple[int, ...]
    image: NetworkInput
    batch: int


class _Clock:
    """Seconds spent in named parts."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def union(box_a: Box, box_b: Box) -> Box:
    """The smallest box that holds both."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box_a, box_b, strict=True))
