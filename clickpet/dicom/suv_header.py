"""What the SUV needs of a PET series' headers: which attributes, read from pydicom datasets or plain mappings.

Identifying attributes are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from clickpet.dicom.values import codes, joined, number_of, plain
from clickpet.errors import InputError

#: A dose below this is taken to be in MBq (DICOM wants Bq; 10 kBq is far below any injection).
DOSE_IS_MBQ_BELOW = 1e4
#: A weight of this or more is taken to be in grams (DICOM wants kg), a height above 3 in centimetres (DICOM: m).
WEIGHT_IS_GRAMS_FROM = 1000.0
HEIGHT_IS_CM_ABOVE = 3.0

#: Half-lives (s) of the nuclides of FDG and PSMA tracers; a header that is farther off than this part gets a warning.
HALF_LIVES_S = {"18F": 6586.2, "68Ga": 4057.7}
HALF_LIFE_TOLERANCE = 0.02
_NUCLIDE_WORDS = {"18F": ("18", "f"), "68Ga": ("68", "ga")}

ENHANCED_PET = ("1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1")

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
_PRIVATE_BLOCKS = range(0x10, 0x14)
_MAPPING_ALIASES = {
    "GEDecayCorrectionDateTime": ("GEPrivatePostInjectionDateTime",),
    "PhilipsSUVScaleFactor": ("SUVScaleFactor",),
    "PhilipsActivityScaleFactor": ("ActivityConcentrationScaleFactor",),
}

#: Everything that has to be read from a file for `suv_factor`, for pydicom's `specific_tags`.
READ_TAGS = [
    *[group << 16 | element for group, element in TAGS.values()],
    RADIOPHARMACEUTICAL[0] << 16 | RADIOPHARMACEUTICAL[1],
    *[group << 16 | block for group in (0x0009, 0x0071, 0x7053) for block in _PRIVATE_BLOCKS],
    *[group << 16 | block << 8 | element for group, _, element in PRIVATE_TAGS.values() for block in _PRIVATE_BLOCKS],
]

Header = Any  # pydicom.Dataset or Mapping[str, value]


class SliceHeader:
    """Reads single values of one header, a pydicom dataset or a mapping, and says where it stands."""

    def __init__(self, header: Header, where: object):
        self._header = header
        self.where = where if where is not None else getattr(header, "filename", None) or "PET series"

    def value(self, name: str) -> Any:
        if name in INJECTION_TAGS:
            return self._injected(name)
        return self._raw(self._header, name, TAGS[name])

    def private(self, name: str) -> Any:
        group, creator, element = PRIVATE_TAGS[name]
        if isinstance(self._header, Mapping):
            names = (
                name,
                *_MAPPING_ALIASES.get(name, ()),
                f"{group:04X},10{element:02X}",
                f"{group:04X}10{element:02X}",
            )
            nested = self._header.get("PhilipsPETPrivateGroup") or {}
            values = [source[key] for source in (self._header, nested) for key in names if key in source]
            return plain(values[0]) if values else None
        creators = {block: plain(self._element((group, block))) for block in _PRIVATE_BLOCKS}
        own = [block for block, text in creators.items() if text and creator.lower() in str(text).lower()]
        if not own and creators[0x10]:
            return None  # the block belongs to somebody else
        return plain(self._element((group, (own[0] if own else 0x10) << 8 | element)))

    def nuclide(self) -> str | None:
        """The nuclide that RadionuclideCodeSequence names, if it is one of HALF_LIVES_S."""
        for item in self._items():
            named = item.get("RadionuclideCodeSequence") or []
            codes_of = [named] if isinstance(named, Mapping) else named
            text = " ".join(str(code.get("CodeMeaning", "")) for code in codes_of if hasattr(code, "get")).lower()
            for nuclide, words in _NUCLIDE_WORDS.items():
                if all(word in text for word in words):
                    return nuclide
        return None

    def _injected(self, name: str) -> Any:
        items = self._items()
        if isinstance(self._header, Mapping) and not items:
            return plain(self._header.get(name))
        values = [self._raw(item, name, INJECTION_TAGS[name]) for item in items]
        if len({str(value) for value in values}) > 1:
            raise InputError(
                f"holds {len(items)} injections that differ in {name} {tag_text(INJECTION_TAGS[name])}",
                where=self.where,
                mend="only studies with one injection can become SUV",
            )
        return values[0] if values else None

    def _items(self) -> list[Any]:
        if isinstance(self._header, Mapping):
            return list(self._header.get("RadiopharmaceuticalInformationSequence") or [])
        return list(self._element(RADIOPHARMACEUTICAL) or [])

    def _raw(self, source: Any, name: str, tag: tuple[int, int]) -> Any:
        if isinstance(source, Mapping):
            return plain(source.get(name))
        return plain(self._element(tag, source))

    def _element(self, tag: tuple[int, int], source: Any = None) -> Any:
        source = self._header if source is None else source
        try:
            element = source.get(tag)
        except Exception as error:  # pydicom decodes late and raises whatever a damaged element makes it
            raise InputError(
                f"{tag_text(tag)} cannot be read ({type(error).__name__})",
                where=self.where,
                mend="mend this attribute",
            ) from None
        return None if element is None else element.value


class SeriesHeader:
    """The slices of one series: values that must be one for all, and values per slice."""

    def __init__(self, slices: list[SliceHeader]):
        self.slices = slices
        self.where = slices[0].where
        self.used: dict[str, None] = {}
        self.warnings: list[str] = []

    def text(self, name: str) -> str:
        """The one value of all slices as upper-case text; "" where it is missing."""
        values = {str(joined(one.value(name)) or "").strip().upper() for one in self.slices}
        if len(values) > 1:
            raise InputError(
                f"its slices differ in {label(name)}",
                where=self.where,
                mend="give the files of one series only",
            )
        return values.pop()

    def code(self, name: str) -> str:
        """`text` of a coded attribute, noted as used; anything that is no code becomes "?"."""
        value = self.text(name)
        self.note(name)
        return value if re.fullmatch(r"[A-Z0-9_ ]{0,16}", value) else "?"

    def number(self, name: str, meaning: str, mend: str) -> float:
        """The one value of all slices as a positive number."""
        values = set()
        for one in self.slices:
            values.add(number_of(one.value(name)))
        self.note(name)
        if len(values) > 1:
            raise InputError(
                f"its slices differ in {label(name)}",
                where=self.where,
                mend="give the files of one series only",
            )
        value = values.pop()
        if value is None or not np.isfinite(value) or value <= 0:
            state = "missing" if value is None else f"{value:g}"
            raise InputError(f"{meaning} ({label(name)}) is {state}", where=self.where, mend=mend)
        return value

    def scale(self, name: str) -> np.ndarray | None:
        """A private factor of every slice (slices,), or None where any slice lacks it or has 0."""
        values = [number_of(one.private(name)) for one in self.slices]
        if any(value is None or not np.isfinite(value) or value <= 0 for value in values):
            return None
        group, _, element = PRIVATE_TAGS[name]
        self.used[f"{name} ({group:04x},10{element:02x})"] = None
        return np.array(values)

    def note(self, name: str) -> None:
        self.used[f"{label(name)}"] = None

    def check_usable(self) -> None:
        """Refuse what cannot become SUV by any rule."""
        if any(str(one.value("SOPClassUID")) in ENHANCED_PET for one in self.slices):
            raise InputError(
                "is an enhanced (multi-frame) PET object, which is not supported",
                where=self.where,
                mend="export it as classic PET with one file per slice",
            )
        modality = self.text("Modality")
        if modality not in ("", "PT"):
            raise InputError("is not PET (Modality (0008,0060) is not PT)", where=self.where, mend="give a PET series")
        self.note("CorrectedImage")
        corrections = [codes(one.value("CorrectedImage")) for one in self.slices]
        self.corrections = corrections[0]
        if all(corrections):
            if not all("ATTN" in codes for codes in corrections):
                raise InputError(
                    "is not corrected for attenuation (CorrectedImage (0028,0051) lacks ATTN)",
                    where=self.where,
                    mend="give the attenuation-corrected reconstruction of the study",
                )
        elif self.text("AttenuationCorrectionMethod") not in ("", "NONE"):
            self.warnings.append("CorrectedImage is missing; AttenuationCorrectionMethod was taken as proof of it")
            self.note("AttenuationCorrectionMethod")
        else:
            raise InputError(
                "does not say that it is corrected for attenuation (CorrectedImage (0028,0051) is missing)",
                where=self.where,
                mend="give the attenuation-corrected reconstruction of the study",
            )

    def weight_kg(self) -> float:
        value = self.number(
            "PatientWeight", "the patient's weight", "enter the weight in the DICOM files (kg) and import again"
        )
        if value >= WEIGHT_IS_GRAMS_FROM:
            self.warnings.append("weight was taken to be in grams")
            return value / 1000
        return value

    def height_m(self) -> float:
        value = self.number(
            "PatientSize",
            "the patient's height",
            "enter the height in the DICOM files (m), or give a series in Bq/ml",
        )
        if value > HEIGHT_IS_CM_ABOVE:
            self.warnings.append("height was taken to be in centimetres")
            return value / 100
        return value

    def dose(self) -> tuple[float, str]:
        """Injected activity in Bq and the unit it was read in."""
        value = self.number(
            "RadionuclideTotalDose", "the injected dose", "enter the dose in the DICOM files (Bq) and import again"
        )
        return (value * 1e6, "MBq") if value < DOSE_IS_MBQ_BELOW else (value, "Bq")

    def half_life_s(self) -> float:
        value = self.number(
            "RadionuclideHalfLife", "the half-life", "enter the nuclide's half-life in the DICOM files (s)"
        )
        nuclide = self.slices[0].nuclide()
        if nuclide and abs(value / HALF_LIVES_S[nuclide] - 1) > HALF_LIFE_TOLERANCE:
            known = f"{nuclide} ({HALF_LIVES_S[nuclide]:g} s)"
            self.warnings.append(f"the half-life of {value:g} s is not that of {known}, which the header names")
        return value

    def common(self) -> dict[str, Any]:
        return {
            "vendor": vendor_of(self.slices[0].value("Manufacturer")),
            "corrections": self.corrections,
            "tags": tuple(self.used),
            "warnings": tuple(self.warnings),
        }


def tag_of(name: str) -> tuple[int, int]:
    return INJECTION_TAGS.get(name) or TAGS[name]


def label(name: str) -> str:
    """Keyword and tag of an attribute, as errors and the record name it."""
    return f"{name} {tag_text(tag_of(name))}"


def tag_text(tag: tuple[int, int]) -> str:
    return f"({tag[0]:04x},{tag[1]:04x})"


def vendor_of(value: Any) -> str:
    """The maker as one of a few names, so that free text cannot slip through."""
    text = str(value or "").upper()
    known = {
        "GE": ("GE MEDICAL", "GE HEALTHCARE", "GEMS"),
        "Siemens": ("SIEMENS", "CPS", "CTI"),
        "Philips": ("PHILIPS", "ADAC"),
        "Canon": ("CANON", "TOSHIBA"),
        "United Imaging": ("UIH", "UNITED IMAGING"),
        "Mediso": ("MEDISO",),
    }
    for name, marks in known.items():
        if any(mark in text for mark in marks):
            return name
    return "other" if text else "unknown"
