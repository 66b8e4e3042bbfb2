"""Masks back to DICOM: a segmentation object that viewers lay over the original PET series."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from clickpet import __version__
from clickpet.dicom.catalogue import Series
from clickpet.dicom.seg_header import geometry_header, name_patient
from clickpet.dicom.selection import pick_series
from clickpet.dicom.stack import stack_slices
from clickpet.errors import InputError
from clickpet.files import replacing
from clickpet.images import grid_text, same_grid

_SERIES_NUMBER = 9000


def write_seg(
    path: str | Path,
    mask: np.ndarray,
    affine: np.ndarray,
    pet: str | Path | Series,
    *,
    case: str,
    identity: str = "case",
    semiautomatic: bool = True,
) -> None:
    """Write `mask` as DICOM Segmentation (binary) on the slices of the PET series it was made from.

    mask : (x, y, z) on the grid of `clickpet.dicom.series.load_suv`; bool, or unsigned integers: every value above 0
        becomes a segment of its own ("Lesion", or "Lesion 1", "Lesion 2", ... where there are several).
    affine : of the mask, voxel index to RAS+ mm.
    pet : the PET series, its folder or one of its files.
    case : the study's case name.
    identity : "case", the default: PatientID and PatientName are the case name, birth date, sex, dates, accession
        number, descriptions, physicians and institution are empty, and the file says that identity was removed. It
        keeps the UIDs of study, frame of reference and slices, without which no viewer finds the PET it lies on.
        "source": everything is inherited from the PET as DICOM wants it, for sending back to the archive that the PET
        came from: that file names the patient.
    semiautomatic : whether clicks took part (SegmentAlgorithmType).

    The same input gives the same bytes: UIDs are derived from the PET's and the mask, there are no time stamps.
    PET slices with uneven gaps, which `load_suv` resamples, get the mask of the nearest even slice.
    Raises InputError for a mask on another grid and for PET slices that cannot carry a SEG.
    """
    if identity not in ("case", "source"):
        raise ValueError(f'identity is {identity!r}, not "case" or "source"')
    series = pick_series(pet, "PT")
    stack = stack_slices(series)
    grid = stack.las_grid
    if not same_grid(mask.shape, affine, *grid):
        raise InputError(
            f"the mask's grid ({grid_text(mask.shape, affine)}) is not the PET's ({grid_text(*grid)})",
            where=path,
            mend="give the mask that was made from this PET",
        )
    labels = _labels(mask)
    stored = stack.from_las(labels)[:, :, stack.nearest_even()].transpose(2, 1, 0)  # slices, rows, columns
    spacing_mm = round(float(np.linalg.norm(stack.affine[:3, 2])), 6)
    with disable_value_validation():
        sources = [geometry_header(series.files[index], spacing_mm) for index in stack.order]
        segmentation = _segmentation(
            sources, stored, entropy=(identity, case), semiautomatic=semiautomatic, where=series.folder
        )
        name_patient(segmentation, series.files[stack.order[0]] if identity == "source" else None, case)
        with replacing(path) as temporary:
            segmentation.save_as(temporary, enforce_file_format=True)


def _labels(mask: np.ndarray) -> np.ndarray:
    """Mask as uint16 with values 0..n without gaps."""
    whole = mask.astype(np.int32)
    if whole.min(initial=0) < 0 or not np.array_equal(whole, mask):
        raise ValueError("a mask holds whole numbers from 0 on")
    present = np.bincount(whole.ravel(), minlength=1) > 0
    present[0] = False
    return np.cumsum(present).astype(np.uint16)[whole] * (whole > 0)


def _segmentation(
    sources: list[pydicom.Dataset],
    stored: np.ndarray,
    *,
    entropy: Sequence[str],
    semiautomatic: bool,
    where: object,
) -> pydicom.Dataset:
    """A SEG without patient. entropy : what its UIDs depend on, besides the PET and the mask."""
    import highdicom

    entropy = [sources[0].SeriesInstanceUID, hashlib.sha256(stored.tobytes()).hexdigest(), *entropy]
    segments = int(stored.max(initial=0)) or 1
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="clickpet", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    kind = "SEMIAUTOMATIC" if semiautomatic else "AUTOMATIC"
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label="Lesion" if segments == 1 else f"Lesion {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=kind,
            algorithm_identification=algorithm,
        )
        for number in range(1, segments + 1)
    ]
    with warnings.catch_warnings(), _silent("highdicom"), _usable_pet(where):
        warnings.simplefilter("ignore")
        made = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=stored,
            segmentation_type="BINARY",
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(entropy_srcs=[*entropy, "series"]),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=generate_uid(entropy_srcs=[*entropy, "instance"]),
            instance_number=1,
            manufacturer="clickpet",
            manufacturer_model_name="clickpet",
            software_versions=__version__,
            device_serial_number="0",
            content_label="LESIONS",
            content_description="Lesions in whole-body PET/CT",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(stored.any()),
        )
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions = generate_uid(
        entropy_srcs=[*entropy, "dimensions"]
    )
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions
    for item in made.get("ContributingEquipmentSequence", []):
        item.pop("ContributionDateTime", None)
    made.SeriesDescription = "Lesions"
    return made


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a library's logger quiet that would write UIDs and values into the log."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _usable_pet(where: object) -> Iterator[None]:
    """What the SEG library refuses about a PET's headers is the user's to mend."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"its headers cannot be referred to by a SEG ({type(error).__name__})",
            where=where,
            mend="use the NIfTI mask",
        ) from error
