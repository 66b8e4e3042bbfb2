"""Small synthetic DICOM series for tests: PET, CT and anything that lies beside them in an archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

#: Strings that must not come out of anything, by the attribute that they are planted in.
PLANTED = {
    "PatientName": "QPLANTED^NAMEZZ",
    "PatientID": "QPLANTEDIDZZ",
    "PatientBirthDate": "19410607",
    "OtherPatientIDs": "QPLANTEDOTHERZZ",
    "PatientAddress": "QPLANTEDSTREETZZ",
    "AccessionNumber": "QPLANTEDACCZZ",
    "StudyID": "QPLANTEDSTUDZZ",
    "StudyDescription": "QPLANTEDSTUDYTEXTZZ",
    "SeriesDescription": "QPLANTEDSERIESTEXTZZ",
    "ReferringPhysicianName": "QPLANTED^DOCTORZZ",
    "OperatorsName": "QPLANTED^OPERATORZZ",
    "InstitutionName": "QPLANTEDHOSPITALZZ",
    "InstitutionAddress": "QPLANTEDHOSPITALSTREETZZ",
    "StationName": "QPLANTEDSTATZZ",
    "PatientComments": "QPLANTEDCOMMENTZZ",
    "ClinicalTrialSubjectID": "QPLANTEDTRIALZZ",
    "PositionReferenceIndicator": "QPLANTEDREFZZ",
    "Manufacturer": "QPLANTED MAKER ZZ",
    "ManufacturerModelName": "QPLANTEDMODELZZ",
    "StudyDate": "20240713",
    "SeriesDate": "20240713",
    "AcquisitionDate": "20240713",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
HALF_LIFE_S = 6586.2


def uid(*parts: object) -> str:
    """A UID that depends on `parts` only."""
    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def write_series(
    folder: Path,
    *,
    modality: str = "PT",
    slices: int = 8,
    shape: tuple[int, int] = (9, 12),
    pitch_mm: tuple[float, float] = (4.0, 3.0),
    gap_mm: float = 5.0,
    places_mm: Sequence[float] | None = None,
    origin: tuple[float, float, float] = (-20.0, -30.0, 100.0),
    orientation: Sequence[float] = AXIAL,
    pixels: np.ndarray | None = None,
    slopes: Sequence[float] | float = 1.0,
    intercept: float = 0.0,
    name: str = "series",
    study: str = "study",
    frame: str = "frame",
    number: int = 1,
    change: Callable[[Dataset, int], None] | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    save: Callable[[FileDataset, Path], None] | None = None,
    **attributes: Any,
) -> list[FileDataset]:
    """Write one file per slice and return the datasets.

    shape : (rows, columns);  pitch_mm : distance between rows, between columns;  places_mm : slice places along the
    normal, by default multiples of `gap_mm`;  pixels : int16 (slices, rows, columns), by default all different;
    attributes : set in every slice, None removes;  change : called last with each dataset and its index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = np.arange(slices) * gap_mm if places_mm is None else np.asarray(places_mm, float)
    slices = len(places)
    normal = np.cross(orientation[:3], orientation[3:])
    if pixels is None:
        pixels = np.arange(slices * shape[0] * shape[1], dtype=np.int16).reshape(slices, *shape)
    slopes = np.broadcast_to(slopes, slices)
    datasets = []
    for index, place in enumerate(places):
        dataset = _slice(modality, name, study, frame, number, index)
        dataset.ImagePositionPatient = [float(part) for part in np.asarray(origin) + place * normal]
        dataset.ImageOrientationPatient = [float(part) for part in orientation]
        dataset.PixelSpacing = [float(part) for part in pitch_mm]
        dataset.SliceThickness = float(gap_mm)
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slopes[index]:.10g}", f"{intercept:g}"
        stored = np.ascontiguousarray(pixels[index])
        dataset.Rows, dataset.Columns = stored.shape
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelData = stored.tobytes()
        for keyword, value in attributes.items():
            if value is None:
                _remove(dataset, keyword)
            else:
                _set(dataset, keyword, value)
        if change is not None:
            change(dataset, index)
        if transfer_syntax != ExplicitVRLittleEndian:
            dataset.compress(transfer_syntax)
        path = folder / f"{modality.lower()}{index:03d}.dcm"
        if save is None:
            dataset.save_as(path, enforce_file_format=True)
        else:
            save(dataset, path)
        datasets.append(dataset)
    return datasets


def _slice(modality: str, name: str, study: str, frame: str, number: int, index: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = {"PT": PositronEmissionTomographyImageStorage, "CT": CTImageStorage}[modality]
    meta.MediaStorageSOPInstanceUID = uid(study, modality, name, index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(study, modality, name)
    dataset.FrameOfReferenceUID = uid(study, frame)
    dataset.Modality = modality
    dataset.SeriesNumber = number
    dataset.InstanceNumber = index + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if modality == "CT" else ["ORIGINAL", "PRIMARY"]
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "110000"
    dataset.PatientSex, dataset.PatientSize, dataset.PatientWeight = "F", "1.7", "70"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    if modality == "PT":
        dataset.Units, dataset.DecayCorrection = "BQML", "START"
        dataset.CorrectedImage = ["DECY", "ATTN", "SCAT"]
        dataset.SeriesType = ["WHOLE BODY", "IMAGE"]
        dataset.ActualFrameDuration, dataset.FrameReferenceTime = 120000, "60000"
        injection = Dataset()
        injection.RadiopharmaceuticalStartTime = "100000"
        injection.RadionuclideTotalDose = "350000000"
        injection.RadionuclideHalfLife = f"{HALF_LIFE_S}"
        dataset.RadiopharmaceuticalInformationSequence = DicomSequence([injection])
    return dataset


_INJECTION = {
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
}


def _holder(dataset: Dataset, keyword: str) -> Dataset:
    return dataset.RadiopharmaceuticalInformationSequence[0] if keyword in _INJECTION else dataset


def _set(dataset: Dataset, keyword: str, value: Any) -> None:
    setattr(_holder(dataset, keyword), keyword, value)


def _remove(dataset: Dataset, keyword: str) -> None:
    holder = _holder(dataset, keyword)
    if keyword in holder:
        delattr(holder, keyword)


def expected_suv_factor(
    *, weight_kg: float = 70.0, dose_bq: float = 350e6, half_life_s: float = HALF_LIFE_S, delta_t_s: float = 3600.0
) -> float:
    """The SUV factor of `write_series`' default PET, by the formula."""
    return weight_kg * 1000 / (dose_bq * 2 ** (-delta_t_s / half_life_s))


def write_rtstruct(
    path: Path,
    regions: dict[str, list[np.ndarray]],
    *,
    study: str = "study",
    frame: str = "frame",
    drawn_on: str | None = None,
) -> None:
    """Write an RTSTRUCT; contours are (points, 3) in DICOM's LPS mm;  drawn_on : SeriesInstanceUID it refers to."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    meta.MediaStorageSOPInstanceUID = uid(study, "rtstruct", path.name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(study), uid(study, "rtstruct", path.name, "series")
    dataset.Modality = "RTSTRUCT"
    dataset.PatientName, dataset.PatientID = PLANTED["PatientName"], PLANTED["PatientID"]
    reference = Dataset()
    reference.FrameOfReferenceUID = uid(study, frame)
    if drawn_on:
        referenced_study, referenced_series = Dataset(), Dataset()
        referenced_series.SeriesInstanceUID = drawn_on
        referenced_study.RTReferencedSeriesSequence = DicomSequence([referenced_series])
        reference.RTReferencedStudySequence = DicomSequence([referenced_study])
    dataset.ReferencedFrameOfReferenceSequence = DicomSequence([reference])
    names, drawn = [], []
    for index, (region, contours) in enumerate(regions.items(), start=1):
        entry = Dataset()
        entry.ROINumber, entry.ROIName = index, region
        entry.ReferencedFrameOfReferenceUID = uid(study, frame)
        names.append(entry)
        item = Dataset()
        item.ReferencedROINumber = index
        item.ContourSequence = DicomSequence([_contour(points) for points in contours])
        drawn.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = DicomSequence(names), DicomSequence(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _contour(points: np.ndarray) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{part:.4f}" for part in np.asarray(points, float).ravel()]
    return contour
