"""Measurements of lesions as DICOM Structured Report: TID 1500 "Measurement Report" (PS3.16), coded, with its SEG."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from clickpet import __version__
from clickpet.dicom.catalogue import Series
from clickpet.dicom.lesion_objects import PetSlices, check_identity, silent, usable_pet
from clickpet.dicom.object_header import name_patient
from clickpet.errors import InputError
from clickpet.files import replacing

_SERIES_NUMBER = 9002
_ML = Code("ml", "UCUM", "ml")
_MM = Code("mm", "UCUM", "mm")
_GRAM = Code("g", "UCUM", "g")
_NUMBER = Code("1", "UCUM", "no units")
_ENGLISH = Code("en-GB", "RFC5646", "English (United Kingdom)")
_SUV = codes.UCUM.StandardizedUptakeValueBodyWeight
_SUVBW = codes.DCM.Suvbw
#: Measurements of a lesion: column of its table, concept, unit, derivation.
LESION_MEASUREMENTS = (
    ("volume_ml", codes.SCT.Volume, _ML, None),
    ("suv_max", _SUVBW, _SUV, codes.SCT.Maximum),
    ("suv_peak", _SUVBW, _SUV, codes.DCM.PeakValueWithinROI),
    ("suv_mean", _SUVBW, _SUV, codes.SCT.Mean),
    ("tlg", codes.DCM.TotalLesionGlycolysis, _GRAM, None),
)
#: Measurements of a study: key of its totals, concept, unit, derivation.
STUDY_MEASUREMENTS = (
    ("lesions", Code("246206008", "SCT", "Number of lesions"), _NUMBER, None),
    ("tmtv_ml", codes.DCM.MetabolicVolume, _ML, codes.SCT.Total),
    ("tlg", codes.DCM.Glycolysis, _GRAM, codes.SCT.Total),
    ("dmax_mm", codes.DCM.Distance, _MM, codes.SCT.Maximum),
)


def write_sr(
    path: str | Path,
    seg: str | Path,
    lesions: Sequence[Mapping[str, float]],
    totals: Mapping[str, float],
    pet: str | Path | Series,
    *,
    case: str,
    identity: str = "case",
) -> None:
    """Write the measurements of a study as Comprehensive SR, template TID 1500, referring to its SEG and PET.

    seg : the DICOM SEG of the lesions (`clickpet.dicom.seg_export.write_seg`), one segment a lesion.
    lesions : for each segment, in their order, the values named in LESION_MEASUREMENTS (a row of the lesion table).
    totals : the values named in STUDY_MEASUREMENTS (`clickpet.evaluate.lesion_table.measure_study`).
    pet, case, identity : as for the SEG.

    The image library lists the PET slices that hold lesions. Each lesion is a TID 1411 group with the tracking
    identifier of its segment, the study's totals are a TID 1501 group; what is not a number (Dmax of fewer than two
    lesions) is left out. The same input gives the same bytes. Raises InputError where the lesions are not the SEG's.
    """
    import highdicom

    check_identity(identity)
    with disable_value_validation(), warnings.catch_warnings(), silent("highdicom"):
        warnings.simplefilter("ignore")
        segmentation = highdicom.seg.segread(seg)
        segments = [item for item in segmentation.SegmentSequence if "TrackingUID" in item]
        if len(segments) != len(lesions):
            raise InputError(f"holds {len(segments)} lesions, not {len(lesions)}", where=seg, mend="write it again")
        source = PetSlices.of(pet)
        entropy = [str(segmentation.SOPInstanceUID), identity, case]
        series, instance, observer, study = (
            str(generate_uid(entropy_srcs=["sr", part, *entropy]))
            for part in ("series", "instance", "observer", "study")
        )
        shown = _slices_of(segmentation, source.headers)
        with usable_pet(source.series.folder, "SR"):
            groups = [_lesion_group(segmentation, *pair) for pair in zip(segments, lesions, strict=True)]
            report = highdicom.sr.MeasurementReport(
                observation_context=_observer(observer),
                procedure_reported=codes.LN.PETWholeBody,
                imaging_measurements=[*groups, _study_group(study, totals)],
                title=codes.DCM.ImagingMeasurementReport,
                language_of_content_item_and_descendants=highdicom.sr.LanguageOfContentItemAndDescendants(_ENGLISH),
                referenced_images=shown,
            )
            made = highdicom.sr.ComprehensiveSR(
                evidence=[segmentation, *shown],
                content=report[0],
                series_instance_uid=series,
                series_number=_SERIES_NUMBER,
                sop_instance_uid=instance,
                instance_number=1,
                manufacturer="clickpet",
                is_complete=True,
            )
        made.ManufacturerModelName, made.SoftwareVersions, made.DeviceSerialNumber = "clickpet", __version__, "0"
        made.SeriesDescription = "Lesion measurements"
        name_patient(made, source.first_file if identity == "source" else None, case)
        with replacing(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


def _slices_of(segmentation: pydicom.Dataset, headers: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """The PET slices that the frames of the SEG lie on."""
    own = {
        str(image.ReferencedSOPInstanceUID)
        for group in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for image in derivation.SourceImageSequence
    }
    return [header for header in headers if header.SOPInstanceUID in own]


def _observer(uid: str):
    """Who measured: a device called clickpet, no person."""
    import highdicom.sr as sr

    device = sr.DeviceObserverIdentifyingAttributes(uid=uid, name="clickpet", manufacturer_name="clickpet")
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))


def _lesion_group(segmentation: pydicom.Dataset, segment: pydicom.Dataset, values: Mapping[str, float]):
    """TID 1411: measurements of one segment, tracked by its own identifier."""
    import highdicom.sr as sr

    pet_series = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=segment.TrackingUID, identifier=segment.TrackingID),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=int(segment.SegmentNumber),
            source_series=sr.SourceSeriesForSegmentation(pet_series),
        ),
        finding_type=codes.SCT.Lesion,
        measurements=_measurements(LESION_MEASUREMENTS, values),
    )


def _study_group(uid: str, totals: Mapping[str, float]):
    """TID 1501: measurements of all lesions together."""
    import highdicom.sr as sr

    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier="All lesions"),
        finding_type=codes.SCT.Lesion,
        measurements=_measurements(STUDY_MEASUREMENTS, totals),
    )


def _measurements(kinds: Sequence[tuple], values: Mapping[str, float]) -> list:
    """What is a number, with six digits."""
    import highdicom.sr as sr

    return [
        sr.Measurement(name=concept, value=float(f"{values[key]:.6g}"), unit=unit, derivation=derivation)
        for key, concept, unit, derivation in kinds
        if math.isfinite(values[key])
    ]
