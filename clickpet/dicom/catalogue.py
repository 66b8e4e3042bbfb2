"""DICOM series in folder trees: finding them and grouping their files.

Only the attributes listed in `_TAGS` are read from a file, never a patient's name or birth date. Identifiers that are
needed to group files (series, study, patient) stay in memory and out of every text that this module makes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom

from clickpet.dicom.attenuation import attenuation_corrected
from clickpet.dicom.damage import attribute_damage
from clickpet.dicom.files import begins_as_dicom, read_header
from clickpet.dicom.sop_classes import (
    CT_STORAGE,
    DICOMDIR_STORAGE,
    ENHANCED_CT,
    ENHANCED_PET,
    MASK_STORAGE,
    PET_STORAGE,
    SECONDARY_CAPTURE,
)
from clickpet.dicom.suv_tags import READ_TAGS
from clickpet.dicom.values import codes, header_integer, header_text, header_value, header_values, header_vector
from clickpet.errors import InputError

#: A series with fewer slices is no volume.
FEWEST_SLICES = 5
DAMAGED = "DAMAGED"

_KEYWORDS = (
    "SpecificCharacterSet",
    "ImageType",
    "SOPInstanceUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "ConvolutionKernel",
    "NumberOfSlices",
    "SeriesType",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)
_TAGS = [*READ_TAGS, *[pydicom.datadict.tag_for_keyword(keyword) for keyword in _KEYWORDS]]


@dataclass(frozen=True, eq=False)
class Series:
    """The files of one series with their headers; `str` and `label` name nothing that identifies.

    modality : PT, CT, SEG, RTSTRUCT, ... as the file says.  slices : number of files.  number : SeriesNumber.
    unfit : why it is no volume to work with (a localizer, a secondary capture, ...), or None.
    damaged : files that lie among its slices and are empty or no longer DICOM, with what is wrong with each.
    patient, study, frame_of_reference, description : for grouping and comparing in memory only; `patient` is a hash,
        "" where the file names none.
    """

    modality: str
    files: tuple[Path, ...] = field(repr=False)
    headers: tuple[pydicom.Dataset, ...] = field(repr=False)
    number: int | None = None
    unfit: str | None = None
    attenuation_corrected: bool | None = None
    extent_mm: tuple[float, float] | None = None
    damaged: tuple[tuple[Path, str], ...] = field(default=(), repr=False)
    sop_class: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    description: str = field(default="", repr=False)

    @property
    def slices(self) -> int:
        return len(self.files)

    @property
    def folder(self) -> Path:
        """The folder that holds all files."""
        return Path(os.path.commonpath([str(file.parent) for file in self.files]))

    @property
    def path(self) -> Path:
        """What finds this series again: its first file. Every function here takes a file as well as a folder."""
        return self.files[0]

    @property
    def kernel(self) -> str:
        """The CT's reconstruction kernel as a short code, or "" (free text is not passed on)."""
        parts = header_values(self.headers[0], "ConvolutionKernel")
        text = str(parts[0]).strip().upper() if parts else ""
        return text if re.fullmatch(r"[A-Z0-9_+/ ]{1,12}", text) else ""

    @property
    def normal(self) -> np.ndarray | None:
        """Slice normal of the first file (LPS), or None where the file tells none."""
        orientation = header_vector(self.headers[0], "ImageOrientationPatient", 6)
        return None if orientation is None else np.cross(orientation[:3], orientation[3:])

    def label(self) -> str:
        """One phrase for messages: modality, size, spacing, number."""
        rows, columns = (header_integer(self.headers[0], keyword) for keyword in ("Rows", "Columns"))
        parts = [f"{self.modality} with {self.slices} slice{'s' if self.slices != 1 else ''}"]
        if rows is not None and columns is not None:
            parts.append(f"{columns}x{rows}")
        if self.extent_mm is not None and self.slices > 1:
            parts.append(f"{abs(self.extent_mm[1] - self.extent_mm[0]):.0f} mm long")
        if self.kernel:
            parts.append(f"kernel {self.kernel}")
        if self.modality == "PT" and self.attenuation_corrected is not None:
            parts.append("attenuation-corrected" if self.attenuation_corrected else "not attenuation-corrected")
        if self.number is not None:
            parts.append(f"series number {self.number}")
        return ", ".join(parts)

    def __str__(self) -> str:
        return self.label()


def find_series(source: str | Path) -> list[Series]:
    """Every series under the folder `source`, ordered by folder, number and size; or the series of one file.

    Reads headers only, and of them only what is needed; files that are not DICOM are passed over. Localizers that
    share a series with the slices become a series of their own. A file stands for its series as far as that lies in
    the file's folder.
    """
    source = Path(source)
    if source.is_file():
        header = _wanted_header(source)
        if not isinstance(header, pydicom.Dataset):
            dicom = begins_as_dicom(source) is not None
            state = "is a damaged DICOM file" if dicom and header else f"is not a DICOM file{_size_note(source)}"
            raise InputError(state, where=source, mend="give a DICOM file or the folder of a series")
        if header_text(header, "SOPClassUID") in MASK_STORAGE:
            return [_series([(source, header)])]
        beside = sorted(file for file in source.parent.iterdir() if file.is_file())
        return [series for series in _grouped(beside) if source in series.files]
    if not source.is_dir():
        raise InputError("no such folder", where=source, mend="correct the path in the cohort table")
    return _grouped(_files_under(source))


def find_studies(folder: str | Path) -> list[list[Series]]:
    """The series under `folder`, a list for each study, ordered by their first file."""
    studies: dict[str, list[Series]] = {}
    for series in find_series(folder):
        studies.setdefault(series.study or str(series.folder), []).append(series)
    return list(studies.values())


def common_folder(series: Sequence[Series]) -> Path | None:
    """The innermost folder that holds all files of these series; None for no series."""
    return Path(os.path.commonpath([str(one.folder) for one in series])) if series else None


def _files_under(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _grouped(files: Iterable[Path]) -> list[Series]:
    groups: dict[tuple[str, ...], list[tuple[Path, pydicom.Dataset]]] = {}
    broken: dict[Path, str] = {}
    for file in files:
        header = _wanted_header(file)
        if isinstance(header, pydicom.Dataset):
            groups.setdefault(_group(header), []).append((file, header))
        elif header is not None:
            broken[file] = header
    series = [_series(members) for members in groups.values()]
    damage, alone = attribute_damage(broken, [one.files for one in series])
    series = [replace(one, damaged=tuple(found)) for one, found in zip(series, damage, strict=True)]
    series += [_damaged_series(file) for file in alone]
    return sorted(
        series, key=lambda one: (str(one.folder), one.number or 0, one.modality, -one.slices, str(one.files[0]))
    )


def _wanted_header(file: Path) -> pydicom.Dataset | str | None:
    """The wanted attributes of a DICOM file; what is wrong with a file that may be a damaged one; None for others."""
    marked = begins_as_dicom(file)
    if marked is None:
        return _blank(file)
    try:
        header = read_header(file, _TAGS, marked=marked)
    except Exception:  # pydicom raises whatever a damaged file makes it
        return "is damaged" if marked else None
    if header_text(header, "SOPClassUID") and header_text(header, "SeriesInstanceUID"):
        return header
    storage = str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", ""))
    return "is cut or damaged" if marked and storage != DICOMDIR_STORAGE else None


def _blank(file: Path) -> str | None:
    """What is wrong with a file that does not begin as DICOM, if it may have been a slice."""
    try:
        with open(file, "rb") as handle:
            head = handle.read(4096)
    except OSError:
        return "cannot be read"
    if not head:
        return "is empty (0 bytes)"
    return "holds zeros or no DICOM" if not head.strip(b"\0") else "is no DICOM file"


def _size_note(file: Path) -> str:
    return "" if file.stat().st_size else " (0 bytes)"


def _group(header: pydicom.Dataset) -> tuple[str, ...]:
    flavour = "localizer" if _is_localizer(header) else ""
    return (
        header_text(header, "StudyInstanceUID"),
        header_text(header, "SeriesInstanceUID"),
        header_text(header, "SOPClassUID"),
        flavour,
    )


def _series(members: list[tuple[Path, pydicom.Dataset]]) -> Series:
    headers = tuple(header for _, header in members)
    first = headers[0]
    modality = re.sub(r"[^A-Z0-9_]", "", header_text(first, "Modality").upper())[:16] or "unknown"
    corrected = {
        attenuation_corrected(
            codes(header_value(header, "CorrectedImage")), header_text(header, "AttenuationCorrectionMethod")
        )
        for header in headers
    }
    sop_class = header_text(first, "SOPClassUID")
    patient = header_text(first, "PatientID")
    return Series(
        modality=modality,
        files=tuple(file for file, _ in members),
        headers=headers,
        number=header_integer(first, "SeriesNumber"),
        unfit=_unfit(headers, modality, sop_class),
        attenuation_corrected=False if False in corrected else None if None in corrected else True,
        extent_mm=_extent_mm(headers),
        sop_class=sop_class,
        patient=hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else "",
        study=header_text(first, "StudyInstanceUID"),
        frame_of_reference=header_text(first, "FrameOfReferenceUID"),
        description=header_text(first, "SeriesDescription"),
    )


def _damaged_series(file: Path) -> Series:
    """A file that says that it is DICOM and is not readable, where no series claims it."""
    return Series(modality=DAMAGED, files=(file,), headers=(pydicom.Dataset(),), unfit="a damaged DICOM file")


def _unfit(headers: tuple[pydicom.Dataset, ...], modality: str, sop_class: str) -> str | None:
    first = headers[0]
    image_type = {str(part).upper() for part in header_values(first, "ImageType")}
    if sop_class.startswith(SECONDARY_CAPTURE):
        return "secondary capture"
    if modality not in ("PT", "CT"):
        return f"not needed ({modality})"
    if sop_class in (*ENHANCED_PET, *ENHANCED_CT):
        return "enhanced (multi-frame) object, not supported"
    if sop_class not in (CT_STORAGE, PET_STORAGE):
        return "not an image of slices"
    if _is_localizer(first):
        return "localizer"
    if image_type & {"MIP", "PROJECTION IMAGE", "MAXIMUM_INTENSITY", "VOLUME_RENDERING", "SCREEN SAVE"}:
        return "projection"
    kind = header_values(first, "SeriesType")
    if modality == "PT" and kind and str(kind[0]).upper() in ("DYNAMIC", "GATED"):
        return "dynamic or gated series"
    if len(headers) < FEWEST_SLICES:
        return f"only {len(headers)} slice{'s' if len(headers) != 1 else ''}"
    return None


def _is_localizer(header: pydicom.Dataset) -> bool:
    return bool({str(part).upper() for part in header_values(header, "ImageType")} & {"LOCALIZER", "SCOUT"})


def places_mm(headers: Iterable[pydicom.Dataset], normal: np.ndarray) -> np.ndarray:
    """Places of slices along a direction (LPS), those that tell one (slices,)."""
    vectors = [header_vector(header, "ImagePositionPatient", 3) for header in headers]
    return np.array([np.dot(vector, normal) for vector in vectors if vector is not None])


def _extent_mm(headers: tuple[pydicom.Dataset, ...]) -> tuple[float, float] | None:
    orientation = header_vector(headers[0], "ImageOrientationPatient", 6)
    if orientation is None:
        return None
    places = places_mm(headers, np.cross(orientation[:3], orientation[3:]))
    return (float(places.min()), float(places.max())) if places.size else None
