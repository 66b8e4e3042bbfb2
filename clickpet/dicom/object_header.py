"""What SEG, RTSTRUCT and SR take over from their PET's headers: geometry, references, and the patient or a case name.

No attribute that the standard allows to be missing, empty or odd may end an export: what an object has to have and the
PET does not give is made up for here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
from pydicom.valuerep import validate_value

from clickpet.dicom.files import read_dataset
from clickpet.dicom.sop_classes import PET_STORAGE
from clickpet.dicom.times import day_number, seconds_of_day
from clickpet.dicom.values import header_number, header_text, header_value
from clickpet.errors import InputError

#: UIDs by which a viewer finds the PET.
_REFERENCES = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_GEOMETRY = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
#: Attributes that every object has to have, empty if need be.
_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
#: The one of them that belongs to the frame of reference, which an SR has not.
_OF_FRAME = "PositionReferenceIndicator"
#: What an object of the same patient and study repeats where it is there.
_INHERITED = (
    *_EMPTY,
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
)
#: Attributes of the clinical trial, all of them or none: the module must have the first two and the last.
_TRIAL = (
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
)
#: Value representations of free text: passed on as they are, whatever their length.
_TEXT = ("LO", "SH", "PN", "LT", "ST", "UT")
#: Content and series date of a segmentation that must not tell when the patient was examined.
_NO_DATE, _NO_TIME = "19000101", "000000"
#: A slice thickness beyond this many distances between slices is a mistake.
_THICKEST = 10.0


def geometry_header(file: Path, spacing_mm: float) -> pydicom.Dataset:
    """A header with the geometry and UIDs of a PET slice, and no patient.

    spacing_mm : distance between the slices of the stack. SpacingBetweenSlices is that, since files hold negative,
    empty and zero ones; so is SliceThickness where the file has no positive one.
    Raises InputError for a missing UID.
    """
    source = read_dataset(file, keywords=("SOPClassUID", "SliceThickness", *_REFERENCES, *_GEOMETRY), pixels=False)
    bare = pydicom.Dataset()
    bare.file_meta = source.file_meta
    bare.SOPClassUID = header_text(source, "SOPClassUID") or PET_STORAGE
    bare.Modality = "PT"
    for keyword in _REFERENCES:
        uid = header_text(source, keyword)
        if not uid:
            raise InputError(
                f"{keyword} is missing", where=file, mend="SEG, RTSTRUCT and SR need it; use the NIfTI mask"
            )
        setattr(bare, keyword, uid)
    for keyword in _GEOMETRY:
        setattr(bare, keyword, header_value(source, keyword))
    thickness = header_number(source, "SliceThickness")
    sound = thickness is not None and np.isfinite(thickness) and 0 < thickness <= _THICKEST * spacing_mm
    bare.SliceThickness = f"{thickness if sound else spacing_mm:.10g}"
    bare.SpacingBetweenSlices = f"{spacing_mm:.10g}"
    for keyword in _EMPTY:
        setattr(bare, keyword, "")
    return bare


def name_patient(made: pydicom.Dataset, source: Path | None, case: str) -> None:
    """Write into an object whose it is, and the dates of its content.

    source : the PET slice whose patient and study it repeats; None gives it the case name instead, and no dates.
    """
    made.SpecificCharacterSet = "ISO_IR 192"
    date, time = _NO_DATE, _NO_TIME
    needed = [keyword for keyword in _EMPTY if keyword != _OF_FRAME or "FrameOfReferenceUID" in made]
    if source is None:
        for keyword in needed:
            setattr(made, keyword, "")
        made.PatientName = made.PatientID = re.sub(r"[\\^=\x00-\x1f]", "_", case)[:64]
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = "clickpet: identity replaced by the case name"
    else:
        wanted = (*_INHERITED, *_TRIAL, "SeriesDate", "SeriesTime", "SpecificCharacterSet")
        header = read_dataset(source, keywords=wanted, pixels=False)
        for keyword in _INHERITED:
            value = _inherited(header, keyword)
            if value or keyword in needed:
                setattr(made, keyword, value)
        trial = {keyword: _inherited(header, keyword) for keyword in _TRIAL}
        if all(trial[keyword] for keyword in (*_TRIAL[:2], _TRIAL[-1])):
            for keyword, value in trial.items():
                setattr(made, keyword, value)
        date = _valid(header_text(header, "SeriesDate"), "DA") or _NO_DATE
        time = _valid(header_text(header, "SeriesTime"), "TM") or _NO_TIME
    for kind in ("Content", "Series", "InstanceCreation"):
        if f"{kind}Date" in made:
            setattr(made, f"{kind}Date", date)
            setattr(made, f"{kind}Time", time)
    for item in made.get("ContributingEquipmentSequence", []):
        item.pop("ContributionDateTime", None)


def _inherited(header: pydicom.Dataset, keyword: str) -> str:
    """An attribute of the PET as a SEG may repeat it; "" where it is missing, or no value of its kind."""
    vr = pydicom.datadict.dictionary_VR(keyword)
    value = header_value(header, keyword)
    text = "" if value is None else str(value) if vr == "PN" else header_text(header, keyword)
    if keyword == "PatientSex":
        return text.upper() if text.upper() in ("M", "F", "O") else ""
    return text if vr in _TEXT else _valid(text, vr)


def _valid(text: str, vr: str) -> str:
    """A text that is a value of its value representation, else ""."""
    if not text or "\\" in text:
        return ""
    if (vr == "DA" and day_number(text) is None) or (vr == "TM" and seconds_of_day(text) is None):
        return ""
    try:
        validate_value(vr, text, pydicom.config.RAISE)
    except ValueError:
        return ""
    return text
