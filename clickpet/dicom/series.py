"""DICOM image series in folder trees: finding them, choosing PET and CT, geometry, and loading as volumes.

Only the attributes listed in `_TAGS` are read from a file, never a patient's name or birth date. Identifiers that are
needed to group files (series, study, patient) stay in memory and out of every text that this module makes.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from clickpet.dicom.stack import read_series, stack_slices
from clickpet.dicom.suv import suv_factor
from clickpet.dicom.suv_header import ENHANCED_PET, READ_TAGS
from clickpet.dicom.values import codes, header_integer, header_text, header_value, header_values, header_vector
from clickpet.errors import InputError
from clickpet.images import Image

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PET_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
SEG_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

#: A series with fewer slices is no volume.
FEWEST_SLICES = 5
#: A PET series that covers less than this part of the longest one is an extra bed, not a rival.
EXTRA_BED = 0.6
_DAMAGED = "DAMAGED"

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
    patient, study, frame_of_reference, description : for grouping and comparing in memory only; `patient` is a hash.
    """

    modality: str
    files: tuple[Path, ...] = field(repr=False)
    headers: tuple[pydicom.Dataset, ...] = field(repr=False)
    number: int | None = None
    unfit: str | None = None
    attenuation_corrected: bool | None = None
    extent_mm: tuple[float, float] | None = None
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

    def label(self) -> str:
        """One phrase for messages: modality, size, spacing, number."""
        header = self.headers[0]
        parts = [f"{self.modality} with {self.slices} slice{'s' if self.slices != 1 else ''}"]
        if "Rows" in header and "Columns" in header:
            parts.append(f"{header.Columns}x{header.Rows}")
        if self.extent_mm is not None and self.slices > 1:
            parts.append(f"{abs(self.extent_mm[1] - self.extent_mm[0]):.0f} mm long")
        kernel = _kernel(self)
        if kernel:
            parts.append(f"kernel {kernel}")
        if self.modality == "PT" and self.attenuation_corrected is not None:
            parts.append("attenuation-corrected" if self.attenuation_corrected else "not attenuation-corrected")
        if self.number is not None:
            parts.append(f"series number {self.number}")
        return ", ".join(parts)

    def __str__(self) -> str:
        return self.label()


def is_dicom(path: str | Path) -> bool:
    """True for a folder and for a file that begins as DICOM does."""
    path = Path(path)
    return path.is_dir() or (path.is_file() and _begins_as_dicom(path) is not None)


def find_series(source: str | Path) -> list[Series]:
    """Every series under the folder `source`, ordered by folder, number and size; or the series of one file.

    Reads headers only, and of them only what is needed; files that are not DICOM are passed over. Localizers that
    share a series with the slices become a series of their own. A file stands for its series as far as that lies in
    the file's folder.
    """
    source = Path(source)
    if source.is_file():
        header = _read_header(source)
        if header is None:
            raise InputError("is not a DICOM file", where=source, mend="give a DICOM file or the folder of a series")
        if header_text(header, "SOPClassUID") in (*SEG_STORAGE, RTSTRUCT_STORAGE):
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


def choose_pet_ct(study: str | Path | Sequence[Series]) -> tuple[Series, Series, list[str]]:
    """The PET series of a study, its CT, and for every other series why it was left.

    study : a folder, or the series of one study. PET: attenuation-corrected, static, a volume; an extra bed (shorter
    than EXTRA_BED of the longest) is left. CT: in the PET's frame of reference, covering most of it, axial, with a
    soft kernel. Raises InputError where none or more than one is left.
    """
    found = find_series(study) if isinstance(study, str | Path) else list(study)
    where = study if isinstance(study, str | Path) else common_folder(found)
    left: dict[int, str] = {}
    pet = _choose(found, "PT", where, left)
    ct = _choose(found, "CT", where, left, pet=pet)
    reasons = [
        f"{series.label()}: {left.get(id(series)) or series.unfit}"
        for series in found
        if series is not pet and series is not ct
    ]
    return pet, ct, reasons


def common_folder(series: Sequence[Series]) -> Path | None:
    """The innermost folder that holds all files of these series; None for no series."""
    return Path(os.path.commonpath([str(one.folder) for one in series])) if series else None


def load_ct(source: str | Path | Series) -> Image:
    """A CT series as an Image: float32 HU (x, y, z), axes towards left, anterior, superior (LAS).

    source : a series, its folder, or one of its files; a folder may hold other series beside it. Where it holds the
    PET too, the CT that belongs to it is taken. Raises InputError where no CT or more than one fits, for missing,
    doubled or tilted slices and for files that cannot be decoded.
    """
    return read_series(pick_series(source, "CT"))[0]


def load_suv(source: str | Path | Series, *, timing: str = "series") -> tuple[Image, dict[str, Any]]:
    """A PET series as float32 SUVbw (x, y, z), g/ml, axes LAS, and the record of how it became SUV.

    source, errors : as in `load_ct`;  timing : see `clickpet.dicom.suv.suv_factor`.
    The record adds to that of `SuvAudit.to_dict` a "geometry" section (gaps, doubled slices, resampling).
    """
    series = pick_series(source, "PT")
    audit = suv_factor(series.headers, timing=timing, where=_where(source, series))
    image, geometry = read_series(series, factors=audit.factors)
    return image, {**audit.to_dict(), "geometry": geometry}


def check_headers(pet: Series, ct: Series) -> None:
    """Raise InputError for what the headers of a study's PET and CT already say will not do: SUV, slices, geometry."""
    suv_factor(pet.headers, where=pet.folder)
    for series in (pet, ct):
        stack_slices(series)


# --- Finding -------------------------------------------------------------------------------------------------------


def _files_under(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _grouped(files: Iterable[Path]) -> list[Series]:
    groups: dict[tuple[str, ...], list[tuple[Path, pydicom.Dataset]]] = {}
    for file in files:
        header = _read_header(file)
        if header is not None:
            groups.setdefault(_group(header, file), []).append((file, header))
    series = [_series(members) for members in groups.values()]
    return sorted(
        series, key=lambda one: (str(one.folder), one.number or 0, one.modality, -one.slices, str(one.files[0]))
    )


def _begins_as_dicom(file: Path) -> bool | None:
    """True: has the DICM mark; False: begins like DICOM without the mark (old archives); None: something else."""
    try:
        with open(file, "rb") as handle:
            head = handle.read(132)
    except OSError:
        return None
    if head[128:132] == b"DICM":
        return True
    bare = len(head) > 8 and head[:2] in (b"\x02\x00", b"\x08\x00") and head[3] == 0 and head[2] < 0x20
    return False if bare else None


def _read_header(file: Path) -> pydicom.Dataset | None:
    """The wanted attributes of a DICOM file; None for anything that is no image or object of a study."""
    marked = _begins_as_dicom(file)
    if marked is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=not marked)
    except Exception:  # pydicom raises whatever a damaged file makes it
        if not marked:
            return None
        header = pydicom.Dataset()
        header.Modality = _DAMAGED
        return header
    if not header_text(header, "SOPClassUID") or not header_text(header, "SeriesInstanceUID"):
        return None
    return header


def _group(header: pydicom.Dataset, file: Path) -> tuple[str, ...]:
    if header_text(header, "Modality") == _DAMAGED:
        return (_DAMAGED, str(file))
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
    corrections = [codes(header_value(header, "CorrectedImage")) for header in headers]
    sop_class = header_text(first, "SOPClassUID")
    return Series(
        modality=modality,
        files=tuple(file for file, _ in members),
        headers=headers,
        number=header_integer(first, "SeriesNumber"),
        unfit=_unfit(headers, modality, sop_class),
        attenuation_corrected=all("ATTN" in codes for codes in corrections) if all(corrections) else None,
        extent_mm=_extent_mm(headers),
        sop_class=sop_class,
        patient=hashlib.sha256(header_text(first, "PatientID").encode()).hexdigest()[:16],
        study=header_text(first, "StudyInstanceUID"),
        frame_of_reference=header_text(first, "FrameOfReferenceUID"),
        description=header_text(first, "SeriesDescription"),
    )


def _unfit(headers: tuple[pydicom.Dataset, ...], modality: str, sop_class: str) -> str | None:
    first = headers[0]
    image_type = {str(part).upper() for part in header_values(first, "ImageType")}
    if sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary capture"
    if modality == _DAMAGED:
        return "a damaged DICOM file"
    if modality not in ("PT", "CT"):
        return f"not needed ({modality})"
    if sop_class in (*ENHANCED_PET, *_ENHANCED_CT):
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


def _extent_mm(headers: tuple[pydicom.Dataset, ...]) -> tuple[float, float] | None:
    normal = _normal(headers[0])
    if normal is None:
        return None
    places = [
        np.dot(place, normal)
        for header in headers
        if (place := header_vector(header, "ImagePositionPatient", 3)) is not None
    ]
    return (float(min(places)), float(max(places))) if places else None


# --- Choosing ------------------------------------------------------------------------------------------------------


def pick_series(source: str | Path | Series, modality: str) -> Series:
    """The series of `modality` that `source` means."""
    if isinstance(source, Series):
        if source.modality != modality:
            raise InputError(f"is {source.modality}, not {modality}", where=source.folder)
        return source
    found = find_series(source)
    if Path(source).is_file() and found[0].modality != modality:
        raise InputError(f"belongs to a series of {found[0].modality}, not {modality}", where=source)
    for series in found:
        if series.modality == _DAMAGED:
            raise InputError("is a damaged DICOM file", where=series.path, mend="copy it again or remove it")
    left: dict[int, str] = {}
    pet = None
    if modality == "CT" and any(series.modality == "PT" and not series.unfit for series in found):
        try:
            pet = _choose(found, "PT", source, left)
        except InputError:
            pet = None
    return _choose(found, modality, source, left, pet=pet)


def _choose(
    found: list[Series], modality: str, where: object, left: dict[int, str], *, pet: Series | None = None
) -> Series:
    """The one fitting series; notes in `left` (by id) why the others are not."""
    name = {"PT": "PET", "CT": "CT"}[modality]
    candidates = [series for series in found if series.modality == modality and not series.unfit]
    if not candidates:
        _refuse_all(found, modality, name, where)
    filters = _PET_FILTERS if modality == "PT" else _CT_FILTERS
    for reason, better in filters:
        kept = better(candidates, pet)
        for series in candidates:
            if series not in kept:
                left[id(series)] = reason
        candidates = kept
    if len(candidates) > 1:
        listed = "; ".join(series.label() for series in sorted(candidates, key=lambda one: -one.slices))
        raise InputError(
            f"holds {len(candidates)} {name} series that fit: {listed}",
            where=where,
            mend="give the folder of one series, or one of its files",
        )
    return candidates[0]


def _refuse_all(found: list[Series], modality: str, name: str, where: object) -> None:
    same = [series for series in found if series.modality == modality]
    if any((series.unfit or "").startswith("enhanced") for series in same):
        raise InputError(
            f"holds {name} as an enhanced (multi-frame) object only, which is not supported",
            where=where,
            mend=f"export it as classic {name} with one file per slice",
        )
    if same:
        listed = "; ".join(f"{series.label()}: {series.unfit}" for series in same[:6])
        raise InputError(f"holds no {name} volume ({listed})", where=where, mend=f"give the folder of a {name} series")
    counts: dict[str, int] = {}
    for series in found:
        counts[series.modality] = counts.get(series.modality, 0) + 1
    seen = ", ".join(f"{number} of {kind}" for kind, number in sorted(counts.items())) or "no DICOM at all"
    raise InputError(f"holds no {name} series ({seen})", where=where, mend=f"give the folder of a {name} series")


def _corrected(candidates: list[Series], pet: Series | None) -> list[Series]:
    return [series for series in candidates if series.attenuation_corrected is not False] or candidates


def _longest(candidates: list[Series], pet: Series | None) -> list[Series]:
    longest = max(_length_mm(series) for series in candidates)
    return [series for series in candidates if _length_mm(series) >= EXTRA_BED * longest]


def _same_frame(candidates: list[Series], pet: Series | None) -> list[Series]:
    if pet is None or not pet.frame_of_reference:
        return candidates
    return [series for series in candidates if series.frame_of_reference == pet.frame_of_reference] or candidates


def _same_study(candidates: list[Series], pet: Series | None) -> list[Series]:
    if pet is None:
        return candidates
    return [series for series in candidates if series.study == pet.study] or candidates


def _covering(candidates: list[Series], pet: Series | None) -> list[Series]:
    if pet is None or pet.extent_mm is None:
        return candidates
    covered = [_overlap_mm(series, pet) for series in candidates]
    return [series for series, length in zip(candidates, covered, strict=True) if length >= 0.9 * max(covered)]


def _axial(candidates: list[Series], pet: Series | None) -> list[Series]:
    upright = []
    for series in candidates:
        normal = _normal(series.headers[0])
        if normal is not None and abs(normal[2]) > 0.9:
            upright.append(series)
    return upright or candidates


def _soft(candidates: list[Series], pet: Series | None) -> list[Series]:
    return [series for series in candidates if not _is_sharp(_kernel(series))] or candidates


_PET_FILTERS = (("not attenuation-corrected", _corrected), ("an extra bed, much shorter than the other", _longest))
_CT_FILTERS = (
    ("of another study than the PET", _same_study),
    ("in another frame of reference than the PET", _same_frame),
    ("covers less of the PET", _covering),
    ("not axial", _axial),
    ("sharp kernel", _soft),
)


def _length_mm(series: Series) -> float:
    return 0.0 if series.extent_mm is None else series.extent_mm[1] - series.extent_mm[0]


def _overlap_mm(series: Series, other: Series) -> float:
    if series.extent_mm is None or other.extent_mm is None:
        return 0.0
    return max(0.0, min(series.extent_mm[1], other.extent_mm[1]) - max(series.extent_mm[0], other.extent_mm[0]))


def _kernel(series: Series) -> str:
    """The reconstruction kernel as a short code, or "" (free text is not passed on)."""
    parts = header_values(series.headers[0], "ConvolutionKernel")
    text = str(parts[0]).strip().upper() if parts else ""
    return text if re.fullmatch(r"[A-Z0-9_+/ ]{1,12}", text) else ""


def _is_sharp(kernel: str) -> bool:
    """Lung and bone kernels: GE by name, Philips by letter, Siemens from 55 on, Canon FC30-39 and FC50 on."""
    if kernel in {"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "L", "YD", "YE", "D", "E"}:
        return True
    siemens = re.match(r"(?:B|BR|BL|BV|I|H|HR|Q|QR|U|UR)(\d\d)", kernel)
    if siemens:
        return int(siemens[1]) >= 55
    canon = re.match(r"FC(\d\d)", kernel)
    return bool(canon) and (30 <= int(canon[1]) < 40 or int(canon[1]) >= 50)


def _where(source: str | Path | Series, series: Series) -> object:
    return series.folder if isinstance(source, Series) else source


def _normal(header: pydicom.Dataset) -> np.ndarray | None:
    orientation = header_vector(header, "ImageOrientationPatient", 6)
    return None if orientation is None else np.cross(orientation[:3], orientation[3:])
