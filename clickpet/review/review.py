"""A study under review: what the page is shown of it, and what its clicks change."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clickpet.clicks.model import KINDS, Clicks
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_lesions, measure_study
from clickpet.geometry import spacing_mm
from clickpet.review.rotating_mip import RotatingMip
from clickpet.review.source import OpenedStudy, ReviewedStudy
from clickpet.review.viewer_grid import ViewerGrid, hu_nifti, nifti_bytes, packed, step_of, suv_nifti

if TYPE_CHECKING:
    from clickpet.live.session import LiveSession

#: Upper ends of the SUV window at first, g/ml, as in the report's pictures: PSMA lesions are hotter than FDG's.
SUV_WINDOW = {"fdg": 10.0, "psma": 15.0, "": 10.0}
#: Columns of the table of lesions.
COLUMNS = ("lesion", "volume_ml", "suv_max", "suv_peak", "tlg")


class Review:
    """An open study. Voxels that come and go are the viewer's (axes right, anterior, superior).

    The networks are asked for when the first prediction is, so that the study is seen before they are loaded.
    """

    def __init__(self, source: ReviewedStudy):
        self.source = source
        self.opened: OpenedStudy = source.read()
        scans = self.opened.scans
        self.grid = ViewerGrid.of(scans.shape, scans.affine)
        self.mip = RotatingMip(self.grid.shape, spacing_mm(self.grid.affine))
        self.version = 0
        self.saved = True
        self.used = time.monotonic()
        self._lock = threading.RLock()
        self._session: LiveSession | None = None
        self._mask = self.opened.mask

    @property
    def session(self) -> LiveSession:
        """The live session, begun with the clicks that there are already."""
        if self._session is None:
            from clickpet.live.session import LiveSession

            scans = self.opened.scans
            session = LiveSession(self.source.models())
            session.set_study(ct=scans.ct, pet=scans.suv, affine=scans.affine, tracer=self.opened.tracer or None)
            for one in self.opened.clicks.interactions():
                session.add(one.kind, one.points)
            self._session = session
        return self._session

    @property
    def clicks(self) -> Clicks:
        """The clicks as they are."""
        return self.opened.clicks if self._session is None else self._session.clicks

    def description(self) -> dict:
        """What the page needs before it draws: geometry, window, notes, and the state as `state` gives it."""
        grid, mip = self.grid, self.mip
        return {
            "name": self.source.name,
            "facts": dict(self.source.facts),
            "tracer": self.opened.tracer,
            "notes": list(self.opened.notes),
            "shape": grid.shape,
            "affine": grid.affine.tolist(),
            "suv_window": SUV_WINDOW[self.opened.tracer],
            "suv_max": float(self.opened.scans.suv.max()),
            "truth": self.opened.truth is not None,
            "mip": {
                "shape": mip.mip_shape, "pool": mip.pool, "pixel_mm": mip.pixel_mm, "spacing_mm": mip.spacing_mm,
            },
            **self.state(whole=True),
        }  # fmt: skip

    def state(self, *, whole: bool = False, seconds: float | None = None) -> dict:
        """Mask, clicks, lesions and totals.

        The mask is the part that the last prediction changed (`whole`: all of it), the projections of the mask are
        whole. `previous` is the version that the part belongs to: a page that has another asks for the whole.
        """
        with self._lock:
            result = self._session and self._session.result
            if result:
                table, totals = result.lesions, result.totals
            else:
                table = measure_lesions(self._viewed(), self.opened.scans.suv, self.opened.scans.affine)
                totals = measure_study(table)
            mask = self.grid.volume(self._viewed())
            box = None if whole or result is None else result.changed
            changed = whole or result is None or box is not None
            return {
                "version": self.version,
                "previous": None if whole else self.version - 1,
                "mask": packed(mask, box and self.grid.box_to_viewer(box)) if changed else None,
                "mip_mask": packed(self.mip.project_voxels(self.grid.voxels(self._viewed()))),
                "clicks": {kind: self.grid.to_viewer(getattr(self.clicks, kind)).tolist() for kind in KINDS},
                "lesions": self._rows(table),
                "totals": {name: _number(value) for name, value in totals.items()},
                "tracer": self._session.tracer.tracer if self._session else self.opened.tracer,
                "saved": self.saved,
                "predicted": result is not None,
                "seconds": seconds,
            }

    def _viewed(self) -> np.ndarray:
        """The mask that is shown, on the PET's grid."""
        result = self._session and self._session.result
        if result:
            return result.mask
        return np.zeros(self.grid.pet_shape, np.uint8, order="F") if self._mask is None else self._mask

    def _rows(self, table) -> list[dict]:
        """Rows of a lesion table, and the voxel of each lesion's centre."""
        centres = self.grid.to_viewer(table[["x_vox", "y_vox", "z_vox"]].to_numpy())
        rows = table[list(COLUMNS)].to_dict("records")
        return [
            {**{name: _number(value) for name, value in row.items()}, "voxel": centre}
            for row, centre in zip(rows, centres.tolist(), strict=True)
        ]

    def predict(self) -> dict:
        """Segment with the clicks as they are; the state after it."""
        with self._lock:
            return self._predicted(whole=self._session is None or self._session.result is None)

    def _predicted(self, *, whole: bool = False) -> dict:
        start = time.perf_counter()
        self.session.predict()
        self.version += 1
        return self.state(whole=whole, seconds=time.perf_counter() - start)

    def add(self, kind: str, points: Sequence[Sequence[int]]) -> dict:
        """Add a click (one voxel) or scribble (several) of `kind` "tumor" or "background"; the state after it."""
        with self._lock:
            whole = self.session.result is None
            points = np.asarray(points)
            self._refuse_contradiction(kind, points)
            self.session.add(kind, self.grid.to_pet(points))
            self.saved = False
            return self._predicted(whole=whole)

    def _refuse_contradiction(self, kind: str, points: np.ndarray) -> None:
        """A voxel that is tumour and background at once can be saved, but no reader of clicks takes it."""
        for other in set(KINDS) - {kind}:
            there = {tuple(voxel) for voxel in self.grid.to_viewer(getattr(self.clicks, other)).tolist()}
            if there & {tuple(voxel) for voxel in points.tolist()}:
                raise InputError(f"this voxel is a {other} click already", mend="undo that one, or click beside it")

    def undo(self) -> dict | None:
        """Take back the last click; the state after it, None where there was none."""
        with self._lock:
            whole = self.session.result is None
            if not self.session.undo():
                return None
            self.saved = False
            return self._predicted(whole=whole)

    def save(self) -> list[str]:
        """Keep clicks and mask; lines that say where."""
        with self._lock:
            if self.session.result is None:
                self._predicted()
            lines = self.source.save(self.session)
            self.saved = True
            return lines

    def ct_file(self) -> bytes:
        """The CT as an uncompressed NIfTI file."""
        return hu_nifti(self.opened.scans.ct, self.grid)

    def pet_file(self) -> bytes:
        """The PET as such a file."""
        return suv_nifti(self.opened.scans.suv, self.grid)

    def mip_file(self) -> bytes:
        """The projections as such a file: x across, y the turn, z up, in mm of the pixels."""
        across_mm, up_mm = self.mip.pixel_mm
        affine = np.diag([across_mm, across_mm, up_mm, 1.0])
        return nifti_bytes(np.maximum(self._projected, 0), affine, step_of(self._projected))

    @cached_property
    def _projected(self) -> np.ndarray:
        return self.mip.project(np.asarray(self.grid.volume(self.opened.scans.suv)))

    def voxel_on_ray(self, across: int, turn: int, up: int) -> tuple[int, int, int] | None:
        """The hottest voxel behind a pixel of a projection."""
        across_most, turns, up_most = self.mip.mip_shape
        if not (0 <= across < across_most and 0 <= turn < turns and 0 <= up < up_most):
            return None
        return self.mip.voxel_at(self.grid.volume(self.opened.scans.suv), across, turn, up)

    def truth(self) -> dict:
        """The expert's mask and its lesions, each with whether the mask of now touches it."""
        if self.opened.truth is None:
            raise InputError("this study has no truth")
        with self._lock:
            truth, scans = self.opened.truth, self.opened.scans
            table = measure_lesions(truth, scans.suv, scans.affine, predicted=self._viewed())
            rows = self._rows(table)
            found = [{**row, "found": bool(hit)} for row, hit in zip(rows, table["found"], strict=True)]
            return {"mask": packed(self.grid.volume(truth)), "lesions": found}

    def close(self) -> Clicks:
        """Give the study's memory back; the clicks as they were."""
        with self._lock:
            clicks = self.clicks
            if self._session is not None:
                self._session.close()
            return clicks


def _number(value: float | int) -> float | int | None:
    """A number as JSON has them: not-a-number is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
