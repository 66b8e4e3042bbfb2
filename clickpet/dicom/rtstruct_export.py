"""Masks back to DICOM: a structure set with the contours of each lesion on the slices of the PET, or of the CT.

DICOM PS3.3 A.19.3, C.8.8.5, C.8.8.6 and C.8.8.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from clickpet import __version__
from clickpet.dicom.catalogue import Series
from clickpet.dicom.lesion_objects import LPS, LesionsOnPet, PetSlices, Tracking, check_identity
from clickpet.dicom.object_header import name_patient
from clickpet.dicom.sop_classes import RTSTRUCT_STORAGE
from clickpet.errors import InputError
from clickpet.files import replacing
from clickpet.outlines import trace_outlines

_SERIES_NUMBER = 9001
#: A CT slice farther than this part of a PET slice from the nearest one carries no contour.
_REACH = 0.5 + 1e-3
#: Slices whose normals differ more (cosine) cannot carry contours of the PET's slices.
_PARALLEL = np.cos(np.deg2rad(0.1))
_ON_PET = "draw on the PET's slices"
#: Colours of the regions in turn, red, green, blue.
_COLOURS = ((255, 64, 64), (64, 160, 255), (64, 208, 96), (255, 176, 32), (208, 96, 255), (32, 216, 216))


def write_rtstruct(
    path: str | Path,
    mask: np.ndarray,
    affine: np.ndarray,
    pet: str | Path | Series,
    *,
    case: str,
    ct: str | Path | Series | None = None,
    identity: str = "case",
    semiautomatic: bool = True,
) -> None:
    """Write `mask` as RT Structure Set: one region a lesion, closed planar contours along the edges of the voxels.

    mask, affine, pet, case, identity, semiautomatic : as for `clickpet.dicom.seg_export.write_seg`; regions have the
        names ("Lesion 1", ...) of the segments, and their tracking UIDs in ROIDescription.
    ct : None draws on the PET's slices; a CT series of the same frame of reference draws on its slices instead, each
        with the contours of the PET slice that it lies in. CT slices farther apart than the PET's leave some out.

    A contour encloses just the area of its voxels, so that volumes are those of the mask. A hole is part of its
    contour, by a channel of no width (PS3.3 C.8.8.6.3), so that readers that join contours see it, too. Without lesions
    there is one region, "Lesion", without a contour. The same input gives the same bytes. Raises InputError for a mask
    on another grid, for PET or CT slices without their UIDs, and for a CT in another frame of reference or tilted
    against the PET.
    """
    check_identity(identity)
    lesions = LesionsOnPet.of(mask, affine, pet, where=path)
    planes = _pet_planes(lesions) if ct is None else _ct_planes(lesions, ct)
    with disable_value_validation():
        made = _structure_set(lesions, planes, (identity, case, "pet" if ct is None else "ct"), semiautomatic)
        name_patient(made, lesions.pet.first_file if identity == "source" else None, case)
        with replacing(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


@dataclass(frozen=True, eq=False)
class _Plane:
    """A slice that carries contours.

    header : with its UIDs;  index : of the PET slice along the stack whose contours it carries, None for none;
    shift_mm : (3,) RAS, from that PET slice to this one.
    """

    header: Dataset
    index: int | None
    shift_mm: np.ndarray


def _pet_planes(lesions: LesionsOnPet) -> list[_Plane]:
    """The PET's slices, at the places that their own headers tell."""
    even = _even_origins(lesions)
    places = zip(lesions.pet.headers, lesions.pet.origins_mm, even, strict=True)
    return [_Plane(header, index, own - stacked) for index, (header, own, stacked) in enumerate(places)]


def _ct_planes(lesions: LesionsOnPet, ct: str | Path | Series) -> list[_Plane]:
    slices = PetSlices.of(ct, "CT")
    if slices.headers[0].FrameOfReferenceUID != lesions.pet.headers[0].FrameOfReferenceUID:
        raise InputError("is in another frame of reference than the PET", where=slices.series.folder, mend=_ON_PET)
    normals = [one.stack.affine[:3, 2] / np.linalg.norm(one.stack.affine[:3, 2]) for one in (lesions.pet, slices)]
    if abs(normals[0] @ normals[1]) < _PARALLEL:
        raise InputError("is tilted against the PET", where=slices.series.folder, mend=_ON_PET)
    places, even = lesions.pet.origins_mm @ normals[0], _even_origins(lesions) @ normals[0]
    reach_mm = _REACH * float(np.median(np.diff(places)))
    planes = []
    for header, along in zip(slices.headers, slices.origins_mm @ normals[0], strict=True):
        nearest = int(np.abs(places - along).argmin())
        near = abs(places[nearest] - along) <= reach_mm
        planes.append(_Plane(header, nearest if near else None, (along - even[nearest]) * normals[0]))
    return planes


def _even_origins(lesions: LesionsOnPet) -> np.ndarray:
    """Centre of the first pixel of each PET slice by the affine of the stack, (slices, 3) RAS mm."""
    affine = lesions.pet.stack.affine
    return affine[:3, 3] + np.arange(len(lesions.pet.headers))[:, None] * affine[:3, 2]


def _contours(lesions: LesionsOnPet, planes: Sequence[_Plane], number: int, box: tuple) -> Iterator[tuple]:
    """(plane, points (n, 3) in LPS mm) of one lesion; box : of the lesion in `lesions.labels`."""
    drawn: dict[int, list[np.ndarray]] = {}
    columns, rows, slices = box
    for plane in planes:
        if plane.index is None or not slices.start <= plane.index < slices.stop:
            continue
        if plane.index not in drawn:
            part = lesions.labels[columns, rows, plane.index] == number
            corner = (columns.start, rows.start)
            drawn[plane.index] = [outline.keyhole + corner for outline in trace_outlines(part)]
        for polygon in drawn[plane.index]:
            voxels = np.column_stack([polygon, np.full(len(polygon), plane.index), np.ones(len(polygon))])
            yield plane, (voxels @ lesions.pet.stack.affine[:3].T + plane.shift_mm) * LPS


def _structure_set(
    lesions: LesionsOnPet, planes: Sequence[_Plane], entropy: Sequence[str], semiautomatic: bool
) -> FileDataset:
    """A structure set without patient. entropy : what its UIDs depend on, besides the PET and the mask."""
    from scipy import ndimage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTSTRUCT_STORAGE
    meta.MediaStorageSOPInstanceUID = lesions.uid("rtstruct", *entropy, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID = lesions.pet.headers[0].StudyInstanceUID
    made.SeriesInstanceUID = lesions.uid("rtstruct", *entropy, "series")
    made.Modality, made.SeriesNumber, made.InstanceNumber = "RTSTRUCT", _SERIES_NUMBER, 1
    made.SeriesDescription = "Lesions"
    made.Manufacturer = made.ManufacturerModelName = "clickpet"
    made.SoftwareVersions, made.DeviceSerialNumber = __version__, "0"
    made.OperatorsName = ""
    made.FrameOfReferenceUID = lesions.pet.headers[0].FrameOfReferenceUID
    made.PositionReferenceIndicator = ""
    made.StructureSetLabel, made.StructureSetName = "LESIONS", "Lesions"
    made.StructureSetDescription = "Lesions in whole-body PET/CT"
    made.StructureSetDate = made.StructureSetTime = ""
    made.ApprovalStatus = "UNAPPROVED"
    made.SeriesDate = made.SeriesTime = ""
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(planes)]
    boxes = ndimage.find_objects(lesions.labels)
    regions, contours, observations = [], [], []
    for number, (lesion, box) in enumerate(zip(lesions.tracking, boxes, strict=True), start=1):
        regions.append(_region(made.FrameOfReferenceUID, number, lesion, semiautomatic))
        contours.append(_region_contours(number, _contours(lesions, planes, number, box)))
        observations.append(_observation(number, lesion))
    if not regions:  # a structure set has to have a region; one without contours says that nothing was found
        nothing = Tracking("Lesion", "")
        regions.append(_region(made.FrameOfReferenceUID, 1, nothing, semiautomatic))
        contours.append(_region_contours(1, iter(())))
        observations.append(_observation(1, nothing))
    made.StructureSetROISequence, made.ROIContourSequence = regions, contours
    made.RTROIObservationsSequence = observations
    return made


def _frame_of_reference(planes: Sequence[_Plane]) -> Dataset:
    """Study, series and slices that the contours lie on."""
    header = planes[0].header
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ContourImageSequence = [_image_reference(plane.header) for plane in planes]
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but asked for
    study.ReferencedSOPInstanceUID = header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = header.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_reference(header: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return reference


def _region(frame_uid: str, number: int, lesion: Tracking, semiautomatic: bool) -> Dataset:
    region = Dataset()
    region.ROINumber, region.ReferencedFrameOfReferenceUID = number, frame_uid
    region.ROIName, region.ROIDescription = lesion.label, lesion.uid
    region.ROIGenerationAlgorithm = "SEMIAUTOMATIC" if semiautomatic else "AUTOMATIC"
    return region


def _region_contours(number: int, drawn: Iterator[tuple[_Plane, np.ndarray]]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.ROIDisplayColor = list(_COLOURS[(number - 1) % len(_COLOURS)])
    contours = []
    for index, (plane, points) in enumerate(drawn, start=1):
        contour = Dataset()
        contour.ContourImageSequence = [_image_reference(plane.header)]
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints, contour.ContourNumber = len(points), index
        contour.ContourData = [f"{part:.4f}" for part in points.ravel() + 0.0]
        contours.append(contour)
    if contours:
        item.ContourSequence = contours
    return item


def _observation(number: int, lesion: Tracking) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.ROIObservationLabel = lesion.label
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = codes.SCT.Lesion.value, codes.SCT.Lesion.scheme_designator
    code.CodeMeaning = codes.SCT.Lesion.meaning
    observation.RTROIIdentificationCodeSequence = [code]
    return observation
