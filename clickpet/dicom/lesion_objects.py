"""What the DICOM objects of one mask share: the PET series, lesions on its slices, UIDs, tracking identifiers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from clickpet.dicom.catalogue import Series
from clickpet.dicom.object_header import geometry_header
from clickpet.dicom.selection import pick_series
from clickpet.dicom.stack import Stack, stack_slices
from clickpet.errors import InputError
from clickpet.images import grid_text, same_grid

#: Signs between RAS and DICOM's LPS.
LPS = np.array([-1.0, -1.0, 1.0])
#: Whom an object names: the case, or the patient of the PET.
IDENTITIES = ("case", "source")


@dataclass(frozen=True)
class Tracking:
    """How one lesion is called in every object of a mask: "Lesion 1", and a UID that no other lesion has."""

    label: str
    uid: str


@dataclass(frozen=True, eq=False)
class PetSlices:
    """The slices of a PET series that objects refer to.

    headers : geometry and UIDs of the slices along `stack`, and nothing of a patient.
    """

    series: Series
    stack: Stack
    headers: list[pydicom.Dataset]

    @classmethod
    def of(cls, source: str | Path | Series, modality: str = "PT") -> PetSlices:
        """The series in a folder, or that a file belongs to ("CT" for that of a CT).

        Raises InputError for a slice without its UIDs.
        """
        series = pick_series(source, modality)
        stack = stack_slices(series)
        spacing_mm = round(float(np.linalg.norm(stack.affine[:3, 2])), 6)
        with disable_value_validation():
            headers = [geometry_header(series.files[index], spacing_mm) for index in stack.order]
        return cls(series, stack, headers)

    @property
    def first_file(self) -> Path:
        """The first slice along the stack."""
        return self.series.files[self.stack.order[0]]

    @property
    def origins_mm(self) -> np.ndarray:
        """Centre of each slice's first pixel as its header tells it, float (slices, 3), RAS."""
        return np.array([[float(part) for part in header.ImagePositionPatient] for header in self.headers]) * LPS


@dataclass(frozen=True, eq=False)
class LesionsOnPet:
    """Lesions on the slices of the PET series that they were found in.

    labels : uint16 (columns, rows, slices) in the order of `pet.stack`, 1..n, 0 outside.
    """

    pet: PetSlices
    labels: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, affine: np.ndarray, pet: str | Path | Series, *, where: object) -> LesionsOnPet:
        """Lesions of `mask` (x, y, z) on the grid of `clickpet.dicom.series.load_suv`.

        mask : bool, or whole numbers from 0 on: each that is there is a lesion, numbered 1..n by rising value.
        pet : the series, its folder or one of its files;  where : what an error names. PET slices with uneven gaps,
        which `load_suv` resamples, get the mask of the nearest even slice. Raises InputError for another grid and for
        a slice without its UIDs.
        """
        slices = PetSlices.of(pet)
        grid = slices.stack.las_grid
        if not same_grid(mask.shape, affine, *grid):
            raise InputError(
                f"the mask's grid ({grid_text(mask.shape, affine)}) is not the PET's ({grid_text(*grid)})",
                where=where,
                mend="give the mask that was made from this PET",
            )
        return cls(slices, slices.stack.from_las(_gapless(mask))[:, :, slices.stack.nearest_even()])

    @property
    def count(self) -> int:
        """Number of lesions."""
        return int(self.labels.max(initial=0))

    @cached_property
    def entropy(self) -> tuple[str, str]:
        """What the UIDs of everything that is made of these lesions depend on: the PET series, and all voxels."""
        return self.pet.headers[0].SeriesInstanceUID, hashlib.sha256(
            self.labels.transpose(2, 1, 0).tobytes()
        ).hexdigest()

    @property
    def tracking(self) -> list[Tracking]:
        """Tracking identifiers of the lesions 1..n, the same in every object of this mask."""
        uids = (generate_uid(entropy_srcs=[*self.entropy, "lesion", str(n)]) for n in range(1, self.count + 1))
        return [Tracking(f"Lesion {number}", str(uid)) for number, uid in enumerate(uids, start=1)]

    def uid(self, *parts: str) -> str:
        """A UID that depends on the PET, the mask and `parts` only: the same input gives the same bytes."""
        return str(generate_uid(entropy_srcs=[*self.entropy, *parts]))


def check_identity(identity: str) -> None:
    """ValueError for an identity that is none of IDENTITIES."""
    if identity not in IDENTITIES:
        raise ValueError(f'identity is {identity!r}, not "case" or "source"')


def _gapless(mask: np.ndarray) -> np.ndarray:
    """A mask as uint16 with values 0..n without gaps."""
    whole = mask.view(np.uint8) if mask.dtype == bool else mask
    if whole.dtype.kind != "u":
        whole = mask.astype(np.int32)
        if whole.min(initial=0) < 0 or not np.array_equal(whole, mask):
            raise ValueError("a mask holds whole numbers from 0 on")
    present = np.bincount(whole.ravel(order="K"), minlength=1) > 0
    present[0] = False
    return (np.cumsum(present) * present).astype(np.uint16)[whole]


@contextmanager
def silent(name: str) -> Iterator[None]:
    """Keep a library's logger quiet that would write UIDs and values into the log."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def usable_pet(where: object, kind: str) -> Iterator[None]:
    """What the library refuses about a PET's headers is the user's to mend.  kind : of the object, such as "SEG"."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"its headers cannot be referred to by a {kind} ({type(error).__name__})",
            where=where,
            mend="use the NIfTI mask",
        ) from error
