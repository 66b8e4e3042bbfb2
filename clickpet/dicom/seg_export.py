"""Masks back to DICOM: a segmentation object that viewers lay over the original PET series."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from clickpet import __version__
from clickpet.dicom.catalogue import Series
from clickpet.dicom.lesion_objects import LesionsOnPet, check_identity, silent, usable_pet
from clickpet.dicom.object_header import name_patient
from clickpet.files import replacing

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
        becomes a segment of its own ("Lesion 1", "Lesion 2", ...) with a tracking identifier.
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
    check_identity(identity)
    lesions = LesionsOnPet.of(mask, affine, pet, where=path)
    with disable_value_validation():
        segmentation = _segmentation(lesions, entropy=(identity, case), semiautomatic=semiautomatic)
        name_patient(segmentation, lesions.pet.first_file if identity == "source" else None, case)
        with replacing(path) as temporary:
            segmentation.save_as(temporary, enforce_file_format=True)


def _segmentation(lesions: LesionsOnPet, *, entropy: tuple[str, ...], semiautomatic: bool) -> pydicom.Dataset:
    """A SEG without patient. entropy : what its UIDs depend on, besides the PET and the mask."""
    import highdicom

    stored = np.ascontiguousarray(lesions.labels.transpose(2, 1, 0))  # slices, rows, columns
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="clickpet", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    common = {
        "segmented_property_category": codes.SCT.MorphologicallyAbnormalStructure,
        "segmented_property_type": codes.SCT.Lesion,
        "algorithm_type": "SEMIAUTOMATIC" if semiautomatic else "AUTOMATIC",
        "algorithm_identification": algorithm,
    }
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=lesion.label,
            tracking_id=lesion.label,
            tracking_uid=lesion.uid,
            **common,
        )
        for number, lesion in enumerate(lesions.tracking, start=1)
    ] or [highdicom.seg.SegmentDescription(segment_number=1, segment_label="Lesion", **common)]
    with warnings.catch_warnings(), silent("highdicom"), usable_pet(lesions.pet.series.folder, "SEG"):
        warnings.simplefilter("ignore")
        made = highdicom.seg.Segmentation(
            source_images=lesions.pet.headers,
            pixel_array=stored,
            segmentation_type="BINARY",
            segment_descriptions=descriptions,
            series_instance_uid=lesions.uid(*entropy, "series"),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=lesions.uid(*entropy, "instance"),
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
    dimensions = lesions.uid(*entropy, "dimensions")
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions
    made.SeriesDescription = "Lesions"
    return made
