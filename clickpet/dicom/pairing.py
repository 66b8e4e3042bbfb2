"""What does not fit between a PET and a CT: other patients, other frames of reference, other parts of the body."""

from __future__ import annotations

from itertools import product

import numpy as np

from clickpet.dicom.catalogue import Series, places_mm
from clickpet.dicom.stack import DicomImage
from clickpet.errors import InputError
from clickpet.images import Image

#: A CT has to cover this part of the PET's length; below the second it is told.
LEAST_COVERAGE = 0.1
FULL_COVERAGE = 0.9
#: Largest angle (cosine) between slice normals of series that count as parallel.
_PARALLEL = np.cos(np.deg2rad(15))
_OTHER_FRAME = (
    "its CT lies in another frame of reference (FrameOfReferenceUID (0020,0052)) than its PET; check that they match"
)
_PARTLY = "its CT covers {:.0f} % of the PET's length"


def compare_volumes(pet: DicomImage, ct: DicomImage, where: object) -> list[str]:
    """What does not fit between a PET and a CT that were read apart, as sentences without subject.

    Raises InputError for a CT of another patient, and for one that covers less than LEAST_COVERAGE of the PET.
    """
    if pet.patient and ct.patient and pet.patient != ct.patient:
        raise InputError(
            "is of another patient than the PET (PatientID (0010,0020) differs)",
            where=where,
            mend="give the CT of the same examination",
        )
    covered = covered_length(pet, ct)
    if covered < LEAST_COVERAGE:
        raise InputError(
            f"covers {100 * covered:.0f} % of the PET's length",
            where=where,
            mend="give the CT of the same examination, on the same table position",
        )
    frames = (pet.frame_of_reference, ct.frame_of_reference)
    notes = [_OTHER_FRAME] if all(frames) and frames[0] != frames[1] else []
    return notes if covered >= FULL_COVERAGE else [*notes, _PARTLY.format(100 * covered)]


def covered_length(pet: Image, ct: Image) -> float:
    """Part of the PET's length, along its last axis, that the box around a CT reaches."""
    corners = np.array(list(product(*((-0.5, edge - 0.5) for edge in ct.shape))))
    to_pet = np.linalg.inv(pet.affine) @ ct.affine
    places = corners @ to_pet[2, :3] + to_pet[2, 3]
    low, high = max(places.min(), -0.5), min(places.max(), pet.shape[2] - 0.5)
    return float(np.clip((high - low) / pet.shape[2], 0, 1))


def mismatches(pet: Series, ct: Series) -> list[str]:
    """What does not fit between a PET series and its CT and is not refused, as sentences without subject."""
    notes = []
    frames = (pet.frame_of_reference, ct.frame_of_reference)
    if all(frames) and frames[0] != frames[1]:
        notes.append(_OTHER_FRAME)
    covered = coverage(ct, pet)
    if covered is not None and covered < FULL_COVERAGE:
        notes.append(_PARTLY.format(100 * covered))
    return notes


def refuse_foreign(pet: Series, ct: Series, where: object) -> None:
    """InputError for a CT series of another patient than the PET, or with less than LEAST_COVERAGE of its length."""
    if pet.patient and ct.patient and pet.patient != ct.patient:
        raise InputError(
            f"the CT ({ct.label()}) is of another patient than the PET (PatientID (0010,0020) differs)",
            where=where,
            mend="give the CT of the same examination",
        )
    covered = coverage(ct, pet)
    if covered is not None and covered < LEAST_COVERAGE:
        raise InputError(
            f"the CT ({ct.label()}) covers {100 * covered:.0f} % of the PET's length",
            where=where,
            mend="give the CT of the same examination, on the same table position",
        )


def length_mm(series: Series) -> float:
    """Distance from the first to the last slice."""
    return 0.0 if series.extent_mm is None else series.extent_mm[1] - series.extent_mm[0]


def coverage(ct: Series, pet: Series) -> float | None:
    """Part of the PET's length that the CT's slices reach; None where that cannot be told from slice places."""
    if pet.extent_mm is None or ct.normal is None or pet.normal is None or length_mm(pet) <= 0:
        return None
    if abs(np.dot(ct.normal, pet.normal)) < _PARALLEL:
        return None
    places = places_mm(ct.headers, pet.normal)
    if not places.size:
        return None
    low, high = max(places.min(), pet.extent_mm[0]), min(places.max(), pet.extent_mm[1])
    return max(0.0, float(high - low)) / length_mm(pet)
