"""PET headers as the SUV rules read them: values of one slice, values of all slices, and what was used of them.

Headers are pydicom datasets or plain mappings from DICOM keywords to values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydicom.config import disable_value_validation

from clickpet.dicom.attenuation import attenuation_corrected, says_uncorrected
from clickpet.dicom.sop_classes import ENHANCED_PET
from clickpet.dicom.suv_tags import (
    INJECTION_TAGS,
    MAPPING_ALIASES,
    PRIVATE_BLOCKS,
    PRIVATE_TAGS,
    RADIOPHARMACEUTICAL,
    TAGS,
    label,
    tag_text,
)
from clickpet.dicom.values import codes, header_value, joined, number_of, plain, shown_number, stored_text
from clickpet.errors import InputError

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
                *MAPPING_ALIASES.get(name, ()),
                f"{group:04X},10{element:02X}",
                f"{group:04X}10{element:02X}",
            )
            nested = self._header.get("PhilipsPETPrivateGroup") or {}
            values = [source[key] for source in (self._header, nested) for key in names if key in source]
            return plain(values[0]) if values else None
        creators = {block: plain(self._element((group, block))) for block in PRIVATE_BLOCKS}
        own = [block for block, text in creators.items() if text and creator.lower() in str(text).lower()]
        if not own and creators[0x10]:
            return None  # the block belongs to somebody else
        return plain(self._element((group, (own[0] if own else 0x10) << 8 | element)))

    def nuclide_text(self) -> str:
        """What RadionuclideCodeSequence (0054,0300) calls the nuclide."""
        texts = []
        for item in self._items():
            named = header_value(item, "RadionuclideCodeSequence") or []
            codes_of = [named] if isinstance(named, Mapping) else named
            texts += [str(header_value(code, "CodeMeaning") or "") for code in codes_of if hasattr(code, "get")]
        return " ".join(texts)

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
            with disable_value_validation():
                element = source.get(tag)
        except Exception as error:  # pydicom decodes late and raises whatever a damaged element makes it
            text = stored_text(source, tag)
            if text is not None:
                return text
            raise InputError(
                f"{tag_text(tag)} cannot be read ({type(error).__name__})",
                where=self.where,
                mend="mend this attribute",
            ) from None
        return None if element is None else getattr(element, "value", element)


class SeriesHeader:
    """The slices of one series: values that must be one for all, and values per slice.

    used : attributes that were read, for the record;  warnings : what was odd about them;  doubts : those of them that
        make the SUV doubtful.
    """

    def __init__(self, slices: list[SliceHeader]):
        self.slices = slices
        self.where = slices[0].where
        self.used: dict[str, None] = {}
        self.warnings: list[str] = []
        self.doubts: list[str] = []
        self.corrections: tuple[str, ...] = ()

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
        """The one value of all slices as a positive number; InputError where it is none."""
        stored = [one.value(name) for one in self.slices]
        values = {number_of(value) for value in stored}
        self.note(name)
        if len(values) > 1:
            raise InputError(
                f"its slices differ in {label(name)}",
                where=self.where,
                mend="give the files of one series only",
            )
        value = values.pop()
        if value is None and "," in shown_number(stored[0]):
            raise InputError(
                f'{meaning} ({label(name)}) is "{shown_number(stored[0])}", which looks like a decimal comma',
                where=self.where,
                mend="write it with a decimal point",
            )
        if value is None or not np.isfinite(value) or value <= 0:
            state = f"{value:g}" if value is not None else "missing" if stored[0] is None else "missing or no number"
            raise InputError(f"{meaning} ({label(name)}) is {state}", where=self.where, mend=mend)
        return value

    def scale(self, name: str) -> np.ndarray | None:
        """A private factor of every slice (slices,), or None where any slice lacks it or has 0."""
        values = [number_of(one.private(name)) for one in self.slices]
        if any(value is None or not np.isfinite(value) or value <= 0 for value in values):
            return None
        self.note_private(name)
        return np.array(values)

    def doubt(self, text: str) -> None:
        """A warning that makes the SUV doubtful."""
        self.warnings.append(text)
        self.doubts.append(text)

    def note(self, name: str) -> None:
        """Record that an attribute was used."""
        self.used[label(name)] = None

    def note_private(self, name: str) -> None:
        """Record that a private attribute was used."""
        group, _, element = PRIVATE_TAGS[name]
        self.used[f"{name} ({group:04x},10{element:02x})"] = None

    def check_usable(self) -> None:
        """InputError for what no rule makes SUV of: enhanced PET, other modalities, no attenuation correction."""
        if any(str(one.value("SOPClassUID")) in ENHANCED_PET for one in self.slices):
            raise InputError(
                "is an enhanced (multi-frame) PET object, which is not supported",
                where=self.where,
                mend="export it as classic PET with one file per slice",
            )
        modality = self.text("Modality")
        if modality not in ("", "PT"):
            raise InputError("is not PET (Modality (0008,0060) is not PT)", where=self.where, mend="give a PET series")
        self._check_attenuation()

    def _check_attenuation(self) -> None:
        self.note("CorrectedImage")
        corrections = [codes(one.value("CorrectedImage")) for one in self.slices]
        methods = [str(joined(one.value("AttenuationCorrectionMethod")) or "") for one in self.slices]
        self.corrections = corrections[0]
        mend = "give the attenuation-corrected reconstruction of the study"
        if any(codes_of and "ATTN" not in codes_of for codes_of in corrections):
            raise InputError(
                "is not corrected for attenuation (CorrectedImage (0028,0051) lacks ATTN)", where=self.where, mend=mend
            )
        if any(says_uncorrected(method) for method in methods):
            raise InputError(
                "is not corrected for attenuation (AttenuationCorrectionMethod (0054,1101) says none)",
                where=self.where,
                mend=f"{mend}, or correct the attribute that is wrong",
            )
        if all(corrections):
            return
        if any(attenuation_corrected((), method) is None for method in methods):
            raise InputError(
                "does not say that it is corrected for attenuation (CorrectedImage (0028,0051) is missing)",
                where=self.where,
                mend=mend,
            )
        self.warnings.append("CorrectedImage is missing; AttenuationCorrectionMethod was taken as proof of it")
        self.note("AttenuationCorrectionMethod")

    def common(self) -> dict[str, Any]:
        """What every record of a series has."""
        return {
            "vendor": vendor_of(self.slices[0].value("Manufacturer")),
            "corrections": self.corrections,
            "tags": tuple(self.used),
            "warnings": tuple(self.warnings),
            "doubts": tuple(self.doubts),
        }


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
