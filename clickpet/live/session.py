"""A live session: clicks and scribbles on one study, taken back or not, and a lesion mask after each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_lesions, measure_study
from clickpet.ingest.petct import PetCt
from clickpet.live.models import LiveModels
from clickpet.models.patient import TracerDecision
from clickpet.nnunet.nonzero_box import Box, nonzero_box
from clickpet.postprocess.final_mask import post_process
from clickpet.predict.inference import component_probabilities

if TYPE_CHECKING:
    import pandas as pd

    from clickpet.predict.prediction import Prediction
    from clickpet.predict.study_predictor import StudyPredictor

#: Memory for the outputs of tiles that a session keeps, unless told otherwise.
MEMORY_LIMIT_BYTES = 2 * 2**30


@dataclass
class LiveRecord:
    """One click or scribble of a session's history.

    kind : "tumor" or "background";  points : int64 (n, 3), voxels x, y, z;  time : when it was made, ISO 8601, UTC;
    ml_before, ml_after : TMTV of the predictions before and after it, None where there was none;  seconds : of the
    prediction after it;  undone : taken back since.
    """

    kind: str
    points: np.ndarray
    time: str
    ml_before: float | None = None
    ml_after: float | None = None
    seconds: float | None = None
    undone: bool = False


@dataclass(frozen=True, eq=False)
class LiveResult:
    """The lesions after a prediction.

    mask : uint8 (x, y, z), 1 lesion, on the PET's grid, after post-processing; read-only;  changed : box (x, y, z) of
    the voxels that differ from the prediction before (from no lesion where there is none), None if none does;
    lesions : a row for each lesion (`measure_lesions`);  totals : of the study (`measure_study`);  tmtv_ml : total
    volume;  seconds : from the call to this result;  parts : seconds of its parts;  tiles_run, tiles_kept : tiles that
    the networks saw again, and those whose output was known.
    """

    mask: np.ndarray
    changed: Box | None
    lesions: pd.DataFrame
    totals: dict[str, float | int]
    tmtv_ml: float
    seconds: float
    parts: dict[str, float]
    tiles_run: int
    tiles_kept: int


class LiveSession:
    """Clicks on one study and the lesions that they give. One call at a time runs in a session; others wait.

    models : shared with other sessions;  memory_limit_bytes : of what is kept between predictions.
    """

    def __init__(self, models: LiveModels, *, memory_limit_bytes: int = MEMORY_LIMIT_BYTES):
        self.models = models
        self.memory_limit_bytes = memory_limit_bytes
        self._lock = threading.RLock()
        self._study: PetCt | None = None
        self._tracer: TracerDecision | None = None
        self._forget()

    def _forget(self) -> None:
        self._interactions: list[LiveRecord] = []
        self._history: list[LiveRecord] = []
        self._result: LiveResult | None = None
        self._predictor: StudyPredictor | None = None

    def set_study(
        self, *, ct: np.ndarray, pet: np.ndarray, affine: np.ndarray, tracer: str | None = None
    ) -> TracerDecision:
        """Begin with a study: its CT (HU) and PET (SUV, g/ml), (x, y, z) on one grid; what was before is forgotten.

        affine : (4, 4), voxel to RAS+ mm;  tracer : "fdg" or "psma" (None: found).  Returns the tracer and how it is
        known. Raises InputError for arrays that do not fit each other, are not finite, or a tracer without a model.
        """
        for name, array in (("CT", ct), ("PET", pet)):
            if not np.isfinite(np.sum(array, dtype=np.float64)):
                raise InputError(f"the {name} holds NaN or infinite values", mend="convert the image again")
        study = PetCt(ct=ct, suv=pet, affine=affine)
        with self._lock:
            decision = self.models.decide_tracer(study, tracer or "")
            self._forget()
            self._study, self._tracer = study, decision
        return decision

    @property
    def study(self) -> PetCt:
        """The study; InputError before `set_study` and after `close`."""
        if self._study is None:
            raise InputError("the session has no study", mend="call set_study first")
        return self._study

    @property
    def tracer(self) -> TracerDecision:
        """The study's tracer and how it is known."""
        return self.study and self._tracer

    def add(self, kind: str, points: Sequence[Sequence[int]] | np.ndarray) -> None:
        """Add a click (one point) or a scribble (several): `kind` "tumor" or "background", voxels x, y, z.

        Raises InputError for another kind, no point, or a point outside the PET.
        """
        with self._lock:
            shape = self.study.shape
            if kind not in KINDS:
                raise InputError(f"{kind!r} is no kind of click", mend=f"give one of {', '.join(KINDS)}")
            voxels = np.atleast_2d(np.asarray(points))
            if not voxels.size or voxels.ndim != 2 or voxels.shape[1] != 3 or not np.array_equal(voxels, voxels // 1):
                raise InputError("a click is no voxel", mend="give whole numbers x, y, z")
            if (voxels < 0).any() or (voxels >= shape).any():
                size = "x".join(map(str, shape))
                raise InputError(f"a {kind} click is outside the PET ({size} voxels)", mend="click inside it")
            before = None if self._result is None else self._result.tmtv_ml
            record = LiveRecord(
                kind,
                voxels.astype(np.int64),
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                ml_before=before,
            )
            self._interactions.append(record)
            self._history.append(record)

    def undo(self) -> bool:
        """Take back the last click or scribble; False if there is none."""
        with self._lock:
            if not self._interactions:
                return False
            self._interactions.pop().undone = True
            return True

    def reset(self) -> None:
        """Take back all clicks and scribbles; the study stays."""
        while self.undo():
            pass

    @property
    def clicks(self) -> Clicks:
        """The clicks and scribbles that are not taken back."""
        with self._lock:
            return Clicks.from_interactions(Interaction(one.kind, one.points) for one in self._interactions)

    @property
    def history(self) -> list[LiveRecord]:
        """Every click and scribble on this study in the order made, those taken back, too."""
        with self._lock:
            return list(self._history)

    @property
    def result(self) -> LiveResult | None:
        """The last prediction; None before the first."""
        return self._result

    def predict(self) -> LiveResult:
        """Lesions with the clicks as they are: the mask that the workflow gives for these clicks.

        Raises InputError without a study, and where a network gives values that are not finite.
        """
        with self._lock:
            start = time.perf_counter()
            study = self.study
            prediction = self._predict_raw(study)
            parts, tiles_run = prediction.details["seconds"], prediction.tiles_run
            tiles_kept = prediction.details["tiles"] - tiles_run
            lap = time.perf_counter()
            parts["heatmap"] = lap - start - sum(parts.values())
            mask = self._postprocessed(prediction, study)
            lesions = measure_lesions(mask, study.suv, study.affine)
            totals = measure_study(lesions)
            changed = self._changed(mask)
            mask.flags.writeable = False
            end = time.perf_counter()
            parts["postprocess"] = end - lap
            self._result = LiveResult(
                mask, changed, lesions, totals, totals["tmtv_ml"], end - start, parts, tiles_run, tiles_kept
            )
            for record in self._interactions:
                if record.ml_after is None:
                    record.ml_after, record.seconds = self._result.tmtv_ml, self._result.seconds
            return self._result

    def _predict_raw(self, study: PetCt) -> Prediction:
        """The prediction before post-processing."""
        if self._predictor is None:
            self._predictor = self.models.predictor(study, self.tracer.tracer, self.memory_limit_bytes)
        heatmap = draw_heatmap(study.suv, self.clicks, self.models.heatmap, affine=study.affine)
        return self._predictor.predict(heatmap)

    def _postprocessed(self, prediction: Prediction, study: PetCt) -> np.ndarray:
        options = self.models.postprocessing
        final = post_process(
            prediction.mask,
            study.suv,
            study.affine,
            options,
            clicks=self.clicks,
            probability=component_probabilities(prediction) if options.needs_probability else None,
        )
        return final.mask.view(np.uint8)

    def _changed(self, mask: np.ndarray) -> Box | None:
        differs = mask if self._result is None else mask != self._result.mask
        box = nonzero_box([differs])
        return box if differs[box].any() else None

    @property
    def kept_bytes(self) -> int:
        """Memory of the outputs of tiles that are kept; at most `memory_limit_bytes`."""
        return self._predictor.kept_bytes if self._predictor else 0

    def close(self) -> None:
        """Give the memory of the study and of what was kept back; the models stay."""
        with self._lock:
            self._study = self._tracer = None
            self._forget()
