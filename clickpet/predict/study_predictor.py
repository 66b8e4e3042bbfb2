"""One study, prepared once, and its lesions for one heatmap of clicks after another."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import Turn, orientation
from clickpet.nnunet.nonzero_box import Box, nonzero_box, union
from clickpet.predict.body import body_box
from clickpet.predict.ensemble_tiles import EnsembleTiles
from clickpet.predict.finite_logits import NonFiniteLogitsError
from clickpet.predict.kept_tiles import KeptRun, KeptTiles
from clickpet.predict.mirroring import Workload, mirrorings
from clickpet.predict.network_grid import NetworkGrid, NetworkInput
from clickpet.predict.nnunet_sliding_window import nnunet_sliding_window
from clickpet.predict.prediction import InferenceOptions, Prediction
from clickpet.predict.sliding_window import SlidingWindowOutput, sliding_window_inference
from clickpet.predict.tiling import Tiling, tiling

#: Channel of the network's input that holds the clicks, after CT and PET.
CLICKS = 2


class StudyPredictor:
    """Predictions of one study, of which only what a heatmap changes is computed.

    ensemble : the LesionEnsemble of its tracer;  ct, suv, affine : as for `LesionEnsemble.predict`;
    memory_limit_bytes : for the outputs of tiles that are kept for the next prediction, see `KeptTiles` (0: nothing,
    where there is one prediction only);  options : of `InferenceOptions`.

    CT and PET are prepared once. Tiles, mirroring and the part of the scan that is looked at depend on the heatmap only
    where it reaches out of what is not zero in CT and PET: then all is prepared anew. The networks see the axes as in
    training, CANONICAL, whatever the order in which the study is stored; masks and maps come out in the study's own
    order. Raises InputError if shapes differ or an option makes no sense, and where a network gives NaN or infinite
    values.

    Networks with a channel for the mask before are shown that of the last prediction here, nothing at first.
    """

    def __init__(
        self,
        ensemble,
        *,
        ct: np.ndarray,
        suv: np.ndarray,
        affine: np.ndarray,
        memory_limit_bytes: int = 0,
        **options,
    ):
        self._ensemble, self._options = ensemble, InferenceOptions(**options)
        self._limit_bytes = memory_limit_bytes
        if ct.shape != suv.shape:
            raise InputError(f"CT {ct.shape} and PET {suv.shape} differ in shape", mend="resample CT onto the PET grid")
        self._own_affine, self._turn = affine, Turn.between(affine)
        self._affine = self._turn.affine(suv.shape, affine)
        self._ct, self._suv = self._turn.array(ct), self._turn.array(suv)
        self._scan_box = nonzero_box([self._ct, self._suv])
        self._batch = self._options.batch
        self._forget()

    def _forget(self) -> None:
        self._case: _PreparedCase | None = None
        self._prediction: Prediction | None = None
        # box of the clicks and the heatmap in it; None without clicks
        self._seen: tuple[Box, np.ndarray] | None = None
        self._mask_before: np.ndarray | None = None

    @property
    def kept_bytes(self) -> int:
        """Memory of the tiles' outputs that are kept."""
        kept = self._case.kept if self._case else None
        return kept.n_bytes if kept else 0

    def predict(self, heatmap: np.ndarray) -> Prediction:
        """Lesions with a heatmap (x, y, z) on the grid of the PET: what `LesionEnsemble.predict` gives for it.

        A heatmap that gives the network what it saw just before gives that prediction again at no cost.
        """
        if heatmap.shape != self._own_shape:
            raise InputError(f"heatmap {heatmap.shape} and PET {self._own_shape} differ in shape")
        try:
            prediction = self._predict(self._turn.array(heatmap))
        except NonFiniteLogitsError as error:
            self._forget()
            raise self._not_finite(self._ensemble.folds[error.member]) from error
        except BaseException:
            self._forget()  # sums may be half done
            raise
        maps = {name: getattr(prediction, name) for name in ("disagreement", "probability")}
        return replace(
            prediction,
            mask=self._turn.back(prediction.mask),
            affine=self._own_affine,
            details={**prediction.details, "orientation": orientation(self._own_affine)},
            **{name: None if image is None else self._turn.back(image) for name, image in maps.items()},
        )

    @property
    def _own_shape(self) -> tuple[int, int, int]:
        return self._turn.back(self._suv).shape

    def _not_finite(self, fold: int | str) -> InputError:
        return InputError(
            f"fold {fold} gave values that are not finite (NaN or infinite)",
            where=self._ensemble.model.checkpoint(fold),
            mend="train or import this fold again, or leave it out of 'folds'",
        )

    def _predict(self, heatmap: np.ndarray) -> Prediction:
        """`predict` with axes that are CANONICAL."""
        clock = _Clock()
        clicks_box = nonzero_box([heatmap])
        if not heatmap[clicks_box].any():
            clicks_box = None
        content = union(self._scan_box, clicks_box) if clicks_box else self._scan_box
        changed = None
        if self._ensemble.model.previous_mask:
            return self._predict_after(heatmap, content, clock)
        if self._case is None or self._case.grid.content != content:
            self._forget()
            self._case = self._prepare(heatmap, content)
        else:
            differs = self._difference(heatmap, clicks_box)
            changed = self._case.image.replace(CLICKS, heatmap, differs) if differs else None
        clock.lap("prepare")
        tiles_run = 0
        if self._prediction is None or changed is not None:
            self._prediction = self._run(changed, clicks_box, clock)
            tiles_run = self._prediction.tiles_run
        self._seen = (clicks_box, heatmap[clicks_box].copy()) if clicks_box else None
        details = {**self._prediction.details, "seconds": clock.seconds}
        return replace(self._prediction, details=details, tiles_run=tiles_run)

    def _predict_after(self, heatmap: np.ndarray, content: Box, clock: _Clock) -> Prediction:
        """`_predict` of networks that also see the mask before, which may change anywhere: nothing is kept."""
        before = self._mask_before
        self._forget()
        self._mask_before = np.zeros_like(heatmap) if before is None else before
        self._case = self._prepare(heatmap, content)
        clock.lap("prepare")
        prediction = self._run(None, None, clock)
        self._mask_before = prediction.mask.astype(np.float32)
        return replace(prediction, details={**prediction.details, "seconds": clock.seconds})

    def _difference(self, heatmap: np.ndarray, clicks_box: Box | None) -> Box | None:
        """Box (x, y, z) of the voxels of a heatmap that are not those of the one before; None if there are none."""
        if self._seen is None:
            return clicks_box
        seen_box, seen = self._seen
        if clicks_box is None:
            return seen_box
        part = union(seen_box, clicks_box)
        differs = heatmap[part] != 0
        within = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(seen_box, part, strict=True))
        differs[within] = heatmap[seen_box] != seen
        inner = nonzero_box([differs])
        if not differs[inner].any():
            return None
        return tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, part, strict=True))

    def _prepare(self, heatmap: np.ndarray, content: Box) -> _PreparedCase:
        ensemble, options = self._ensemble, self._options
        shape, affine = self._suv.shape, self._affine
        grid = NetworkGrid(ensemble.model, shape, affine, content, own_resampling=not options.nnunet_arithmetic)
        box = grid.box(body_box(ct=self._ct, suv=self._suv, affine=affine)) if options.body_box else None
        tiles = tiling(grid.shape, ensemble.model.patch_size, options.tile_step, box)
        axes = options.mirror_axes
        if callable(axes):
            axes = axes(Workload(self._suv.size, len(tiles), len(ensemble.folds)))
        axes = tuple(axis for axis in sorted(axes) if axis in ensemble.allowed_axes)
        with_mask = ensemble.model.previous_mask
        again = self._limit_bytes > 0 and not options.nnunet_arithmetic and not with_mask
        ahead = range(CLICKS) if again else ()
        channels = [self._ct, self._suv, heatmap, *([self._mask_before] if with_mask else [])]
        image = NetworkInput(grid, channels, tiles.box, ahead=ahead)
        self._batch = self._batch or ensemble.batch_for(axes)
        case = _PreparedCase(grid, tiles, axes, image)
        if again:
            window = EnsembleTiles(ensemble.networks, image.read, tiles, **self._how(axes), **self._averaging())
            case.kept = KeptTiles(
                window, partial(image.read_channel, CLICKS), limit_bytes=self._limit_bytes, same_bits=ensemble.same_bits
            )
        return case

    def _how(self, axes: tuple[int, ...]) -> dict:
        return {"mirror_axes": axes, "batch": self._batch, "device": self._ensemble.device}

    def _averaging(self) -> dict:
        options = self._options
        return {
            "average": options.fold_average,
            "with_spread": options.disagreement != "none",
            "lesion_above": options.lesion_above,
            "lock": self._ensemble.lock,
        }

    def _window(self, changed: Box | None, clicks_box: Box | None) -> KeptRun:
        case, networks = self._case, self._ensemble.networks
        if case.kept:
            return case.kept.run(changed, None if clicks_box is None else case.image.filled(CLICKS, clicks_box))
        how = self._how(case.axes)
        if self._options.nnunet_arithmetic:
            with self._ensemble.lock:
                window = nnunet_sliding_window(networks, case.image.read, case.tiles, **how)
        else:
            window = sliding_window_inference(networks, case.image.read, case.tiles, **how, **self._averaging())
        return KeptRun(window, case.tiles.box, len(case.tiles))

    def _run(self, changed: Box | None, clicks_box: Box | None, clock: _Clock) -> Prediction:
        case, ensemble, options = self._case, self._ensemble, self._options
        run = self._window(changed, clicks_box)
        window = run.output
        self._batch = window.batch
        clock.lap("window")
        before = self._prediction.mask if self._prediction is not None else None
        mask = before
        if run.region is not None:
            mask = case.grid.mask(
                window.lesion, window.box, above=options.lesion_above, before=before, region=run.region
            )
        details = {
            "mirror_axes": list(case.axes),
            "members": ensemble.folds,
            "tiles": len(case.tiles),
            "forward_passes": run.tiles_run * len(mirrorings(case.axes)) * len(ensemble.folds),
            "batch": self._batch,
            "voxels": int(mask.size),
            "network_grid": list(case.grid.shape),
            "disagreement": self._mean_spread(window),
        }
        spread = probability = None
        if window.spread is not None:
            where = mask if options.disagreement == "lesions" else None
            spread = case.grid.image(window.spread, window.box, where)
        if options.save_probability or options.lesion_probability:
            where = None if options.save_probability else mask
            probability = case.grid.image(
                window.lesion, window.box, where, dtype=np.float16, of_value=options.probability
            )
        clock.lap("resample_back")
        return Prediction(mask, self._affine, details, spread, probability, run.tiles_run)

    def _mean_spread(self, window: SlidingWindowOutput) -> float | None:
        several = len(self._ensemble.folds) > 1 and not self._options.nnunet_arithmetic
        return window.mean_spread if several else None


@dataclass
class _PreparedCase:
    """A case on the network's grid, with the tiles kept of its predictions, if any."""

    grid: NetworkGrid
    tiles: Tiling
    axes: tuple[int, ...]
    image: NetworkInput
    kept: KeptTiles | None = None


class _Clock:
    """Seconds spent in named parts."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now
