"""Attributes of a PET header that the SUV is computed from; identifying ones are not among them."""

from __future__ import annotations

#: Attributes of the image, by DICOM keyword.
TAGS = {
    "SOPClassUID": (0x0008, 0x0016),
    "SeriesDate": (0x0008, 0x0021),
    "AcquisitionDate": (0x0008, 0x0022),
    "AcquisitionDateTime": (0x0008, 0x002A),
    "SeriesTime": (0x0008, 0x0031),
    "AcquisitionTime": (0x0008, 0x0032),
    "Modality": (0x0008, 0x0060),
    "Manufacturer": (0x0008, 0x0070),
    "TimezoneOffsetFromUTC": (0x0008, 0x0201),
    "PatientSex": (0x0010, 0x0040),
    "PatientSize": (0x0010, 0x1020),
    "PatientWeight": (0x0010, 0x1030),
    "ActualFrameDuration": (0x0018, 0x1242),
    "CorrectedImage": (0x0028, 0x0051),
    "Units": (0x0054, 0x1001),
    "SUVType": (0x0054, 0x1006),
    "AttenuationCorrectionMethod": (0x0054, 0x1101),
    "DecayCorrection": (0x0054, 0x1102),
    "FrameReferenceTime": (0x0054, 0x1300),
}
RADIOPHARMACEUTICAL = (0x0054, 0x0016)
#: Attributes of the one item of RadiopharmaceuticalInformationSequence.
INJECTION_TAGS = {
    "RadiopharmaceuticalStartTime": (0x0018, 0x1072),
    "RadionuclideTotalDose": (0x0018, 0x1074),
    "RadionuclideHalfLife": (0x0018, 0x1075),
    "RadiopharmaceuticalStartDateTime": (0x0018, 0x1078),
}
#: Vendors' private attributes: name -> (group, private creator, element in the creator's block).
PRIVATE_TAGS = {
    "GEDecayCorrectionDateTime": (0x0009, "GEMS_PETD_01", 0x0D),
    "SiemensDecayCorrectionDateTime": (0x0071, "SIEMENS MED PT", 0x22),
    "PhilipsSUVScaleFactor": (0x7053, "Philips PET Private Group", 0x00),
    "PhilipsActivityScaleFactor": (0x7053, "Philips PET Private Group", 0x09),
}
#: Element numbers of private creators that are searched.
PRIVATE_BLOCKS = range(0x10, 0x14)
#: Names of private attributes in header collections that are stored as JSON.
MAPPING_ALIASES = {
    "GEDecayCorrectionDateTime": ("GEPrivatePostInjectionDateTime",),
    "PhilipsSUVScaleFactor": ("SUVScaleFactor",),
    "PhilipsActivityScaleFactor": ("ActivityConcentrationScaleFactor",),
}

#: Everything that has to be read from a file for `suv_factor`, for pydicom's `specific_tags`.
READ_TAGS = [
    *[group << 16 | element for group, element in TAGS.values()],
    RADIOPHARMACEUTICAL[0] << 16 | RADIOPHARMACEUTICAL[1],
    *[group << 16 | block for group in (0x0009, 0x0071, 0x7053) for block in PRIVATE_BLOCKS],
    *[group << 16 | block << 8 | element for group, _, element in PRIVATE_TAGS.values() for block in PRIVATE_BLOCKS],
]


def tag_of(name: str) -> tuple[int, int]:
    return INJECTION_TAGS.get(name) or TAGS[name]


def label(name: str) -> str:
    """Keyword and tag of an attribute, as errors and the record name it."""
    return f"{name} {tag_text(tag_of(name))}"


def tag_text(tag: tuple[int, int]) -> str:
    return f"({tag[0]:04x},{tag[1]:04x})"
