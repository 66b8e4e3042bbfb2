"""DICOM image series in folder trees: finding them, choosing PET and CT, geometry, and loading as volumes.

Only the attributes listed in `_TAGS` are read from a file, never a patient's name or birth date. Identifiers that are
needed to group files (series, study, patient) stay in memory and out of every text that this module makes.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from clickpet import suv
from clickpet.errors import InputError
from clickpet.images import Image

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PET_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
SEG_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

#: Gaps between slices may differ by this part of the median gap; the mean is the spacing then.
EVEN_GAPS = 0.1
#: From this many median gaps on, a gap means that a slice is missing; gaps between the two are resampled.
MISSING_GAP = 1.5
#: Slices nearer to each other than this part of the median gap lie at one position.
SAME_POSITION = 0.02
#: Largest angle (cosine) between orientations that count as parallel, and between stack and slice normal.
_PARALLEL = np.cos(np.deg2rad(0.1))
_UPRIGHT = np.cos(np.deg2rad(0.5))
#: A series with fewer slices is no volume.
FEWEST_SLICES = 5
#: A PET series that covers less than this part of the longest one is an extra bed, not a rival.
EXTRA_BED = 0.6
#: CT value that stands for "outside the field of view".
AIR_HU = -1024.0
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
_TAGS = [*suv.READ_TAGS, *[pydicom.datadict.tag_for_keyword(keyword) for keyword in _KEYWORDS]]


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


def find_series(folder: str | Path) -> list[Series]:
    """Every series under `folder` (or of the one file given), ordered by folder, number and size.

    Reads headers only, and of them only what is needed; files that are not DICOM are passed over. Localizers that
    share a series with the slices become a series of their own.
    """
    folder = Path(folder)
    if folder.is_file():
        mine = [series for series in find_series(folder.parent) if folder in series.files]
        if not mine:
            raise InputError("is not a DICOM file", where=folder, mend="give a DICOM file or the folder of a series")
        return mine
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, mend="correct the path in the cohort table")
    groups: dict[tuple[str, ...], list[tuple[Path, pydicom.Dataset]]] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(parent, name)
            header = _read_header(file)
            if header is not None:
                groups.setdefault(_group(header, file), []).append((file, header))
    series = [_series(members) for members in groups.values()]
    return sorted(
        series, key=lambda one: (str(one.folder), one.number or 0, one.modality, -one.slices, str(one.files[0]))
    )


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
    where = study if isinstance(study, str | Path) else (found[0].folder if found else None)
    left: dict[int, str] = {}
    pet = _choose(found, "PT", where, left)
    ct = _choose(found, "CT", where, left, pet=pet)
    reasons = [
        f"{series.label()}: {left.get(id(series)) or series.unfit}"
        for series in found
        if series is not pet and series is not ct
    ]
    return pet, ct, reasons


def load_ct(source: str | Path | Series) -> Image:
    """A CT series as an Image: float32 HU (x, y, z), axes towards left, anterior, superior (LAS).

    source : a series, its folder, or one of its files; a folder may hold other series beside it. Where it holds the
    PET too, the CT that belongs to it is taken. Raises InputError where no CT or more than one fits, for missing,
    doubled or tilted slices and for files that cannot be decoded.
    """
    return read_series(_pick(source, "CT"))[0]


def load_suv(source: str | Path | Series, *, timing: str = "series") -> tuple[Image, dict[str, Any]]:
    """A PET series as float32 SUVbw (x, y, z), g/ml, axes LAS, and the record of how it became SUV.

    source, errors : as in `load_ct`;  timing : see `clickpet.suv.suv_factor`.
    The record adds to that of `SuvAudit.to_dict` a "geometry" section (gaps, doubled slices, resampling).
    """
    series = _pick(source, "PT")
    audit = suv.suv_factor(series.headers, timing=timing, where=_where(source, series))
    image, geometry = read_series(series, factors=audit.factors)
    return image, {**audit.to_dict(), "geometry": geometry}


def read_series(series: Series, *, factors: np.ndarray | None = None) -> tuple[Image, dict[str, Any]]:
    """The volume of a series, pixels rescaled by each slice's own slope and intercept, and a record of its geometry.

    factors : (slices,) in the order of `series.files`, multiplied into each slice.
    Gaps that differ by less than EVEN_GAPS of the median give the mean as spacing; larger differences are resampled
    (linear) to even slices; MISSING_GAP medians and more raise InputError.
    """
    stack = stack_slices(series)
    factors = np.ones(series.slices) if factors is None else np.asarray(factors, float)
    volume = np.empty(stack.shape, np.float32)
    for z, index in enumerate(stack.order):
        volume[:, :, z] = _slice_values(series, index, float(factors[index])).T
    if stack.positions_mm is not None:
        volume = _evened(volume, stack.positions_mm)
    array, affine = _to_las(volume, stack.affine)
    return Image(array, affine), stack.record


# --- Finding -------------------------------------------------------------------------------------------------------


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
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError):
        if not marked:
            return None
        header = pydicom.Dataset()
        header.Modality = _DAMAGED
        return header
    if not _text(header, "SOPClassUID") or not _text(header, "SeriesInstanceUID"):
        return None
    return header


def _group(header: pydicom.Dataset, file: Path) -> tuple[str, ...]:
    if _text(header, "Modality") == _DAMAGED:
        return (_DAMAGED, str(file))
    flavour = "localizer" if _is_localizer(header) else ""
    return (
        _text(header, "StudyInstanceUID"),
        _text(header, "SeriesInstanceUID"),
        _text(header, "SOPClassUID"),
        flavour,
    )


def _series(members: list[tuple[Path, pydicom.Dataset]]) -> Series:
    headers = tuple(header for _, header in members)
    first = headers[0]
    modality = re.sub(r"[^A-Z0-9_]", "", _text(first, "Modality").upper())[:16] or "unknown"
    corrections = [suv._codes(_value(header, "CorrectedImage")) for header in headers]
    sop_class = _text(first, "SOPClassUID")
    return Series(
        modality=modality,
        files=tuple(file for file, _ in members),
        headers=headers,
        number=_integer(first, "SeriesNumber"),
        unfit=_unfit(headers, modality, sop_class),
        attenuation_corrected=all("ATTN" in codes for codes in corrections) if all(corrections) else None,
        extent_mm=_extent_mm(headers),
        sop_class=sop_class,
        patient=hashlib.sha256(_text(first, "PatientID").encode()).hexdigest()[:16],
        study=_text(first, "StudyInstanceUID"),
        frame_of_reference=_text(first, "FrameOfReferenceUID"),
        description=_text(first, "SeriesDescription"),
    )


def _unfit(headers: tuple[pydicom.Dataset, ...], modality: str, sop_class: str) -> str | None:
    first = headers[0]
    image_type = {str(part).upper() for part in _many(first, "ImageType")}
    if sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary capture"
    if modality == _DAMAGED:
        return "a damaged DICOM file"
    if modality not in ("PT", "CT"):
        return f"not needed ({modality})"
    if sop_class in (*suv.ENHANCED_PET, *_ENHANCED_CT):
        return "enhanced (multi-frame) object, not supported"
    if sop_class not in (CT_STORAGE, PET_STORAGE):
        return "not an image of slices"
    if _is_localizer(first):
        return "localizer"
    if image_type & {"MIP", "PROJECTION IMAGE", "MAXIMUM_INTENSITY", "VOLUME_RENDERING", "SCREEN SAVE"}:
        return "projection"
    kind = _many(first, "SeriesType")
    if modality == "PT" and kind and str(kind[0]).upper() in ("DYNAMIC", "GATED"):
        return "dynamic or gated series"
    if len(headers) < FEWEST_SLICES:
        return f"only {len(headers)} slice{'s' if len(headers) != 1 else ''}"
    return None


def _is_localizer(header: pydicom.Dataset) -> bool:
    return bool({str(part).upper() for part in _many(header, "ImageType")} & {"LOCALIZER", "SCOUT"})


def _extent_mm(headers: tuple[pydicom.Dataset, ...]) -> tuple[float, float] | None:
    normal = _normal(headers[0])
    places = [
        np.dot(place, normal) for header in headers if (place := _vector(header, "ImagePositionPatient", 3)) is not None
    ]
    return (float(min(places)), float(max(places))) if normal is not None and places else None


# --- Choosing ------------------------------------------------------------------------------------------------------


def _pick(source: str | Path | Series, modality: str) -> Series:
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
    parts = _many(series.headers[0], "ConvolutionKernel")
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


# --- Geometry ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of a series in space, as they are stored.

    order : indices into `series.files`, along the slice normal.  shape : (columns, rows, slices).
    affine : (column, row, slice) index to RAS+ mm.  positions_mm : (slices,) along the normal where the slices have to
    be resampled to even gaps, else None.  record : what was found, for the audit.
    """

    order: list[int]
    shape: tuple[int, int, int]
    affine: np.ndarray
    positions_mm: np.ndarray | None
    record: dict[str, Any]

    @property
    def las_affine(self) -> np.ndarray:
        """The affine of the volume that `read_series` makes."""
        return _to_las(np.empty(self.shape, bool), self.affine)[1]

    def from_las(self, array: np.ndarray) -> np.ndarray:
        """An array on the grid of `read_series` back in stored order (column, row, slice)."""
        there = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("LAS"), nib.orientations.io_orientation(self.affine)
        )
        return nib.orientations.apply_orientation(array, there)


def stack_slices(series: Series) -> Stack:
    """Order the slices of a series and check that they make a volume; InputError where they do not."""
    headers, where = series.headers, series.folder
    normal, rows, columns = _common_plane(series)
    origins = np.array([_needed_vector(series, index, "ImagePositionPatient", 3) for index in range(series.slices)])
    places = origins @ normal
    order = [int(index) for index in np.argsort(places, kind="stable")]
    order, dropped = _without_doubles(series, order, places)
    if len(order) < 2:
        raise InputError("has only one slice position", where=where, mend="give the whole series")
    gaps = np.diff(places[order])
    median = float(np.median(gaps))
    _refuse_missing(series, order, places, gaps, median)
    origins, places = origins[order], places[order]
    _refuse_tilt(origins, normal, where)
    spacing = (places[-1] - places[0]) / (len(order) - 1)
    uneven = float(np.abs(gaps - median).max() / median)
    record = {
        "slices": len(order),
        "slice_gaps_mm": [round(float(edge), 4) for edge in (gaps.min(), gaps.max())],
        "slice_spacing_mm": round(float(spacing), 6),
        "off_even_mm": round(float(np.abs(places - (places[0] + spacing * np.arange(len(order)))).max()), 4),
        "doubled_slices_dropped": dropped,
        "resampled_to_even_slices": uneven > EVEN_GAPS,
    }
    positions = places - places[0] if uneven > EVEN_GAPS else None
    pitch = [float(edge) for edge in _needed_vector(series, order[0], "PixelSpacing", 2)]
    if min(pitch) <= 0:
        raise InputError(
            "PixelSpacing (0028,0030) is not positive", where=series.files[order[0]], mend="mend the header"
        )
    orientation = _needed_vector(series, order[0], "ImageOrientationPatient", 6)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * pitch[1]
    affine[:3, 1] = orientation[3:] * pitch[0]
    affine[:3, 2] = normal * spacing
    affine[:3, 3] = origins[0]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    _refuse_incomplete(headers, len(order), where)
    return Stack(order, (columns, rows, len(order)), affine, positions, record)


def _common_plane(series: Series) -> tuple[np.ndarray, int, int]:
    """Slice normal (LPS), rows and columns, the same in every slice."""
    first = _needed_vector(series, 0, "ImageOrientationPatient", 6)
    lengths = np.linalg.norm(first.reshape(2, 3), axis=1)
    if np.any(np.abs(lengths - 1) > 1e-3) or abs(np.dot(first[:3], first[3:])) > 1e-3:
        raise InputError(
            "ImageOrientationPatient (0020,0037) is no pair of perpendicular directions",
            where=series.files[0],
            mend="mend the header or export the series again",
        )
    pitch = _needed_vector(series, 0, "PixelSpacing", 2)
    for index, header in enumerate(series.headers):
        own = _needed_vector(series, index, "ImageOrientationPatient", 6)
        if np.dot(own[:3], first[:3]) < _PARALLEL or np.dot(own[3:], first[3:]) < _PARALLEL:
            raise InputError(
                "is not parallel to the other slices (ImageOrientationPatient (0020,0037))",
                where=series.files[index],
                mend="remove it, or give the folder of an axial series",
            )
        same_size = (header.get("Rows"), header.get("Columns")) == (
            series.headers[0].get("Rows"),
            series.headers[0].get("Columns"),
        )
        if not same_size or np.any(np.abs(_needed_vector(series, index, "PixelSpacing", 2) - pitch) > 1e-3):
            raise InputError(
                "has another matrix or pixel size than the other slices (Rows, Columns, PixelSpacing)",
                where=series.files[index],
                mend="give the folder of one reconstruction",
            )
        if (_integer(header, "NumberOfFrames") or 1) > 1:
            raise InputError(
                "holds several frames (NumberOfFrames (0028,0008)), which is not supported",
                where=series.files[index],
                mend="export one file per slice",
            )
    normal = np.cross(first[:3], first[3:])
    return normal / np.linalg.norm(normal), int(series.headers[0].Rows), int(series.headers[0].Columns)


def _without_doubles(series: Series, order: list[int], places: np.ndarray) -> tuple[list[int], int]:
    """Drop slices that repeat another one exactly; two different slices at one position are an error."""
    gaps = np.diff(places[order])
    apart = gaps[gaps > 1e-3]
    closest = SAME_POSITION * float(np.median(apart)) if apart.size else 1e-3
    kept, dropped = [order[0]], 0
    for index in order[1:]:
        if places[index] - places[kept[-1]] > closest:
            kept.append(index)
        elif _same_pixels(series, index, kept[-1]):
            dropped += 1
        else:
            raise InputError(
                f"lies at the same position as {series.files[kept[-1]].name} but shows something else",
                where=series.files[index],
                mend="the series is dynamic or mixes two reconstructions; give the folder of one",
            )
    return kept, dropped


def _same_pixels(series: Series, index: int, other: int) -> bool:
    scales = [
        tuple(_value(series.headers[which], keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        for which in (index, other)
    ]
    return scales[0] == scales[1] and np.array_equal(_pixels(series.files[index]), _pixels(series.files[other]))


def _refuse_missing(series: Series, order: list[int], places: np.ndarray, gaps: np.ndarray, median: float) -> None:
    wide = np.flatnonzero(gaps >= MISSING_GAP * median)
    if wide.size == 0:
        return
    missing = int(np.sum(np.round(gaps[wide] / median) - 1).clip(min=1))
    first = int(wide[0])
    raise InputError(
        f"about {missing} slice{'s are' if missing != 1 else ' is'} missing: {gaps[first]:.1f} mm lie between "
        f"{series.files[order[first]].name} and {series.files[order[first + 1]].name}, elsewhere {median:.1f} mm",
        where=series.folder,
        mend="export the whole series again",
    )


def _refuse_incomplete(headers: tuple[pydicom.Dataset, ...], slices: int, where: object) -> None:
    announced = _integer(headers[0], "NumberOfSlices")
    if announced and _text(headers[0], "Modality") == "PT" and slices < announced:
        raise InputError(
            f"has {slices} of the {announced} slices that NumberOfSlices (0054,0081) announces",
            where=where,
            mend="export the whole series again",
        )


def _refuse_tilt(origins: np.ndarray, normal: np.ndarray, where: object) -> None:
    along = origins[-1] - origins[0]
    if np.dot(along, normal) < _UPRIGHT * np.linalg.norm(along):
        raise InputError(
            "its slices are stacked askew (a tilted gantry), which is not supported",
            where=where,
            mend="export it reformatted without tilt",
        )
    step = along / (np.dot(along, normal))
    sideways = origins - origins[0] - np.outer((origins - origins[0]) @ normal, step)
    if np.abs(sideways).max() > 1.0:
        raise InputError(
            f"its slices are shifted against each other by up to {np.abs(sideways).max():.1f} mm",
            where=where,
            mend="give the folder of one reconstruction",
        )


def _evened(volume: np.ndarray, positions_mm: np.ndarray) -> np.ndarray:
    """Linear interpolation along the last axis from `positions_mm` to as many even positions."""
    slices = len(positions_mm)
    wanted = np.linspace(positions_mm[0], positions_mm[-1], slices)
    below = np.clip(np.searchsorted(positions_mm, wanted, side="right") - 1, 0, slices - 2)
    share = ((wanted - positions_mm[below]) / (positions_mm[below + 1] - positions_mm[below])).astype(np.float32)
    return volume[:, :, below] * (1 - share) + volume[:, :, below + 1] * share


def _to_las(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip and swap axes (no interpolation) so that they run towards left, anterior and superior."""
    there = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt("LAS")
    )
    turned = nib.orientations.apply_orientation(array, there)
    return np.ascontiguousarray(turned), affine @ nib.orientations.inv_ornt_aff(there, array.shape)


# --- Pixels --------------------------------------------------------------------------------------------------------


def _slice_values(series: Series, index: int, factor: float) -> np.ndarray:
    """Rescaled pixels (rows, columns), float32."""
    header, file = series.headers[index], series.files[index]
    slope, intercept = (_number(header, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or not np.isfinite(slope) or slope == 0:
        raise InputError("RescaleSlope (0028,1053) is missing or 0", where=file, mend="export the series again")
    if intercept is None:
        intercept = 0.0
    pixels = _pixels(file)
    if pixels.shape != (int(header.Rows), int(header.Columns)):
        raise InputError("its pixels are no grey-value slice", where=file, mend="give a series of grey-value slices")
    values = pixels.astype(np.float32) * np.float32(slope * factor) + np.float32(intercept * factor)
    if series.modality == "CT":
        padding = _number(header, "PixelPaddingValue")
        if padding is not None:
            limit = _number(header, "PixelPaddingRangeLimit")
            edges = sorted((padding, padding if limit is None else limit))
            values[(pixels >= edges[0]) & (pixels <= edges[1])] = AIR_HU
    return values


def _pixels(file: Path) -> np.ndarray:
    """Stored pixel values; whatever transfer syntax pydicom and its plug-ins decode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file, force=True)
            return dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like
        syntax = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                syntax = UID(
                    pydicom.dcmread(file, stop_before_pixels=True, force=True).file_meta.TransferSyntaxUID
                ).name
            except (OSError, EOFError, ValueError, AttributeError):
                syntax = "unknown transfer syntax"
        raise InputError(
            f"its pixels cannot be decoded ({syntax}, {type(error).__name__})",
            where=file,
            mend="copy the file again, or export the series uncompressed",
        ) from None


# --- Reading values ------------------------------------------------------------------------------------------------


def _value(header: pydicom.Dataset, keyword: str) -> Any:
    try:
        return header.get(keyword)
    except (ValueError, TypeError, NotImplementedError, AttributeError):
        return None


def _text(header: pydicom.Dataset, keyword: str) -> str:
    value = _value(header, keyword)
    return "" if value is None else str(value).strip()


def _many(header: pydicom.Dataset, keyword: str) -> list[Any]:
    value = _value(header, keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)


def _integer(header: pydicom.Dataset, keyword: str) -> int | None:
    number = _number(header, keyword)
    return None if number is None or not np.isfinite(number) else int(number)


def _number(header: pydicom.Dataset, keyword: str) -> float | None:
    try:
        return float(str(_value(header, keyword)))
    except ValueError:
        return None


def _vector(header: pydicom.Dataset, keyword: str, length: int) -> np.ndarray | None:
    try:
        values = np.array([float(part) for part in _many(header, keyword)])
    except (TypeError, ValueError):
        return None
    return values if values.shape == (length,) and np.all(np.isfinite(values)) else None


def _needed_vector(series: Series, index: int, keyword: str, length: int) -> np.ndarray:
    values = _vector(series.headers[index], keyword, length)
    if values is None:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        raise InputError(
            f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x}) is missing or unreadable",
            where=series.files[index],
            mend="export the series again",
        )
    return values


def _normal(header: pydicom.Dataset) -> np.ndarray | None:
    orientation = _vector(header, "ImageOrientationPatient", 6)
    return None if orientation is None else np.cross(orientation[:3], orientation[3:])
