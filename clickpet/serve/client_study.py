"""Images that nnInteractive clients send, as a study: two channels, or the PET of a study known to the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import CANONICAL, Turn
from clickpet.ingest.petct import PetCt
from clickpet.ingest.study import SUV_MAX_RANGE

#: Voxels along an axis, at most, that decide which way round a client's PET is; then all are compared.
_SAMPLES_PER_AXIS = 48
#: Part of the highest SUV that a voxel of a client's PET may be off: rounding of stored values.
SAME_PET = 1e-3
#: No SUV is lower, and every CT with air is.
_LOWEST_SUV, _HIGHEST_AIR_HU = -10.0, -100.0
_CHANNELS = "send (2, x, y, z): PET in SUV first, CT in HU on the PET's grid second"
IDENTITY = Turn(np.array([[0, 1], [1, 1], [2, 1]]))


@dataclass(frozen=True, eq=False)
class ClientStudy:
    """A study as a client sees it.

    study : CT and PET;  turn : from the client's axes to those of the study;  shape : of the client's image;
    tracer : "fdg", "psma" or "" (not known).
    """

    study: PetCt
    turn: Turn
    shape: tuple[int, int, int]
    tracer: str

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """Voxels (n, 3) of the client's image in the study."""
        turned = np.empty_like(points)
        for axis, (to, flip) in enumerate(self.turn.steps.astype(int)):
            turned[:, to] = points[:, axis] if flip > 0 else self.shape[axis] - 1 - points[:, axis]
        return turned


def read_client_image(image: np.ndarray, properties: Mapping, served: PetCt | None, served_tracer: str) -> ClientStudy:
    """The study that a client's image (channels, x, y, z) shows.

    Two channels are PET (SUV, g/ml) and CT (HU) on one grid. `properties` then hold "affine", (4, 4), voxel to RAS+
    mm, or "spacing", mm along the axes, which are taken to run to the left, anterior and superior; and may hold
    "tracer". One channel is the PET of `served`, the study that the server was started with, however its axes are
    ordered and flipped (3D Slicer and napari send z, y, x) and whatever factor it is scaled by (Bq/ml).

    Raises InputError for anything else.
    """
    if len(image) == 2:
        study = PetCt(ct=image[1], suv=image[0], affine=_affine(properties))
        _check_values(study)
        return ClientStudy(study, IDENTITY, study.shape, _tracer(properties))
    if len(image) != 1:
        raise InputError(f"the image has {len(image)} channels", mend=_CHANNELS)
    if served is None:
        raise InputError(
            "the image has one channel, and the server knows no CT",
            mend=f"start the server with --ct and --pet and send that PET, or {_CHANNELS}",
        )
    turn = find_turn(image[0], served.suv)
    if turn is None:
        raise InputError("the image is not the PET that the server was started with", mend="send that PET, uncropped")
    return ClientStudy(served, turn, image[0].shape, served_tracer)


def find_turn(image: np.ndarray, suv: np.ndarray) -> Turn | None:
    """The order and flips of axes in which `image` is the PET `suv` times a factor; None if it is not that PET."""
    for axes in permutations(range(3)):
        for flips in product((1, -1), repeat=3):
            turn = Turn(np.array([[axes[axis], flips[axis]] for axis in range(3)]))
            turned = turn.array(image)
            if turned.shape == suv.shape and _same_pet(turned, suv):
                return turn
    return None


def _same_pet(image: np.ndarray, suv: np.ndarray) -> bool:
    steps = tuple(slice(None, None, max(1, -(-length // _SAMPLES_PER_AXIS))) for length in suv.shape)
    given, known = image[steps].astype(np.float64), suv[steps].astype(np.float64)
    power = np.sum(given * given)
    if not np.isfinite(power) or power == 0:
        return False
    factor, most = np.sum(given * known) / power, SAME_PET * float(np.abs(suv).max())
    if factor <= 0 or np.abs(given * factor - known).max() > most:
        return False
    slices = (np.abs(image[..., z] * factor - suv[..., z]).max() for z in range(suv.shape[2]))
    return all(off <= most for off in slices)


def _affine(properties: Mapping) -> np.ndarray:
    try:
        if properties.get("affine") is not None:
            affine = np.array(properties["affine"], dtype=float)
            if affine.shape != (4, 4):
                raise ValueError
        else:
            spacing = np.array(properties["spacing"], dtype=float)
            if spacing.shape != (3,):
                raise ValueError
            signs = [1 if letter in "RAS" else -1 for letter in CANONICAL]
            affine = np.diag([*(spacing * signs), 1.0])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            "the image's properties tell neither spacing nor affine", mend='give {"affine": 4x4, voxel to RAS+ mm}'
        ) from None
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError("the image's spacing or affine is singular or not finite", mend="give the PET's affine")
    return affine


def _tracer(properties: Mapping) -> str:
    tracer = properties.get("tracer") or ""
    if tracer not in ("", "fdg", "psma"):
        raise InputError("the tracer in the image's properties is not known", mend='give "fdg" or "psma", or none')
    return tracer


def _check_values(study: PetCt) -> None:
    lowest, highest, air = float(study.suv.min()), float(study.suv.max()), float(study.ct.min())
    if not np.isfinite([lowest, highest, air]).all():
        raise InputError("the image holds NaN or infinite values", mend="convert it again")
    if lowest < _LOWEST_SUV or not SUV_MAX_RANGE[0] <= highest <= SUV_MAX_RANGE[1]:
        raise InputError("the first channel holds no SUV in g/ml", mend=_CHANNELS)
    if air > _HIGHEST_AIR_HU:
        raise InputError("the second channel holds no air, so it is no CT in HU", mend=_CHANNELS)
