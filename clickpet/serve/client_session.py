"""A client's session: its study, its interactions and the mask that it has, behind the nnInteractive protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clickpet.errors import InputError
from clickpet.ingest.petct import PetCt
from clickpet.live.models import LiveModels
from clickpet.live.session import LiveSession
from clickpet.nnunet.nonzero_box import Box, nonzero_box
from clickpet.serve.client_study import ClientStudy, read_client_image

#: Voxels of a scribble, at most: each costs a small Gaussian.
MOST_SCRIBBLE_VOXELS = 5000
#: Interactions of a session, at most.
MOST_INTERACTIONS = 1000


@dataclass(frozen=True, eq=False)
class Change:
    """What changes in a client's mask: its box and the mask in it, uint8; both None where nothing does."""

    box: Box | None = None
    mask: np.ndarray | None = None


class ClientSession:
    """One client's study and clicks. Requests come one at a time: who calls holds `queue`, but for `close`.

    models : shared;  served : study that the server was started with, if any, and its tracer;  memory_limit_bytes :
    of what the live session keeps between predictions.
    """

    def __init__(
        self, models: LiveModels, *, served: PetCt | None = None, served_tracer: str = "", memory_limit_bytes: int
    ):
        self.queue = asyncio.Lock()
        self._live = LiveSession(models, memory_limit_bytes=memory_limit_bytes)
        self._served, self._served_tracer = served, served_tracer
        self._image: ClientStudy | None = None
        self._start()

    def _start(self) -> None:
        self._shown: np.ndarray | None = None  # the mask that the client has, None for an empty one
        self._shown_of = 0  # interactions that it is the mask of
        self._count = 0
        self._shown_without = False  # the client has seen the mask without interactions

    def set_image(self, image: np.ndarray, properties: Mapping) -> tuple[int, int, int]:
        """Begin with an image (`read_client_image`) and predict without clicks, so that the first click is quick.

        Returns its shape (x, y, z). Raises InputError for what is no study.
        """
        found = read_client_image(image, properties, self._served, self._served_tracer)
        self._image = None
        self._start()
        study = found.study
        self._live.set_study(ct=study.ct, pet=study.suv, affine=study.affine, tracer=found.tracer or None)
        self._live.predict()
        self._image = found
        return found.shape

    @property
    def image(self) -> ClientStudy:
        """The study as the client sees it; InputError before `set_image`."""
        if self._image is None:
            raise InputError("there is no image yet", mend="call set_image first")
        return self._image

    def set_target(self, shape: Sequence[int]) -> None:
        """The client's mask is an empty one of this shape; InputError where it is not that of the image."""
        if tuple(shape) != self.image.shape:
            raise InputError("the target buffer has another shape than the image", mend="give it the image's shape")
        self._shown, self._shown_of = None, 0

    def add_point(self, voxel: Sequence[float], include: bool, predict: bool) -> Change | None:
        """Add a tumour (`include`) or background click, and predict unless told otherwise (None then)."""
        return self._add(np.rint(np.array([voxel], dtype=float)).astype(np.int64), include, predict)

    def add_scribble(
        self, mask: np.ndarray, box: Sequence[Sequence[int]] | None, include: bool, predict: bool
    ) -> Change | None:
        """Add a scribble: the voxels of `mask` that are not 0; it is of the whole image, or of its part `box`."""
        start, size = (0, 0, 0), self.image.shape
        if box is not None:
            start, size = tuple(low for low, _ in box), tuple(high - low for low, high in box)
        if mask.shape != tuple(size):
            raise InputError("the scribble has another shape than its box or the image", mend="give its own box")
        voxels = np.argwhere(mask)
        if not len(voxels):
            raise InputError("the scribble is empty", mend="draw a line")
        if len(voxels) > MOST_SCRIBBLE_VOXELS:
            raise InputError(f"the scribble has more than {MOST_SCRIBBLE_VOXELS} voxels", mend="draw a thinner line")
        return self._add(voxels + np.array(start), include, predict)

    def _add(self, points: np.ndarray, include: bool, predict: bool) -> Change | None:
        if self._count >= MOST_INTERACTIONS:
            raise InputError(f"there are {MOST_INTERACTIONS} interactions already", mend="reset them")
        self._live.add("tumor" if include else "background", self.image.voxels(points))
        self._count += 1
        if not predict:
            return None
        try:
            return self.predict()
        except Exception:
            self._live.undo()
            self._count -= 1
            raise

    def predict(self) -> Change:
        """Predict with the interactions as they are."""
        self._shown_without |= not self._count
        return self._show(self._predicted(), self._count)

    def undo(self) -> Change | None:
        """Take the last interaction back: the mask is then the one before it. None if there was no interaction."""
        if not self._count:
            return None
        self._live.undo()
        self._count -= 1
        if self._count >= self._shown_of:  # it was not predicted with yet
            return Change()
        empty = not self._count and not self._shown_without
        return self._show(None if empty else self._predicted(), self._count)

    def reset(self) -> None:
        """Take all interactions back; the client's mask is empty."""
        self._live.reset()
        self._start()

    def close(self) -> None:
        """Give the memory back, after the request that runs."""
        self._live.close()
        self._image = self._shown = None

    def _predicted(self) -> np.ndarray:
        return self.image.turn.back(self._live.predict().mask)

    def _show(self, mask: np.ndarray | None, count: int) -> Change:
        before, self._shown, self._shown_of = self._shown, mask, count
        if before is None and mask is None:
            return Change()
        new = np.zeros_like(before) if mask is None else mask
        differs = new != 0 if before is None else new != before
        box = nonzero_box([differs])
        return Change(box, np.ascontiguousarray(new[box])) if differs[box].any() else Change()
