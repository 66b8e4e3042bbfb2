"""The cohort table from a tree of DICOM studies: headers only, and nothing of a person in the table.

Cases are named by their folders and patients by their first case. PatientName and PatientID are compared with the
folder names in memory, to warn where the user's folders themselves say them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from clickpet.cohort import SPLITS, TRACERS
from clickpet.dicom.catalogue import Series, common_folder, find_studies
from clickpet.dicom.files import read_header
from clickpet.dicom.masks import list_regions
from clickpet.dicom.selection import choose_pet_ct
from clickpet.dicom.series import check_headers
from clickpet.dicom.sop_classes import MASK_STORAGE
from clickpet.dicom.values import header_text, header_value
from clickpet.errors import InputError
from clickpet.ingest.cohort_builder import (
    Cohort,
    check_choice,
    click_files_in,
    existing_folder,
    note_spare_files,
    tracer_in,
)

#: What radiopharmaceuticals are called, as words of the header's text.
_TRACER_WORDS = {"fdg": ("fdg", "fluorodeoxyglucose", "deoxyglucose"), "psma": ("psma", "dcfpyl", "piflufolastat")}


@dataclass(frozen=True)
class Mask:
    """A SEG or RTSTRUCT file. refers_to : SeriesInstanceUIDs, in memory only."""

    file: Path
    series: Series = field(repr=False)
    refers_to: set[str] = field(repr=False)


def build_from_dicom(
    folder: str | Path,
    *,
    clicks: str | Path | None = None,
    tracer: str | None = None,
    centre: str | None = None,
    split: str | None = None,
) -> Cohort:
    """Cohort of a tree of DICOM studies: the PET of each, the CT that belongs to it and, where there is, its mask.

    clicks : folder of `{case}_clicks.json` or `{case}.mrk.json`;
    tracer : "fdg" or "psma", else what the PET's radiopharmaceutical says, else what a folder is called;
    centre : of all studies;  split : else train where there is a mask and predict where there is none.

    The series are chosen by `clickpet.dicom.series.choose_pet_ct`, and studies whose headers say that they cannot
    become SUV volumes (see `check_headers`) are left; a mask is a SEG or RTSTRUCT object, from anywhere
    in the tree, that refers to the PET series, or to its CT where none refers to the PET, or one of the same study
    that refers to nothing. A series column holds the
    folder of the series, or one file of it where the folder holds other series too.

    Raises InputError for a wrong folder, tracer or split and where there is no DICOM at all.
    """
    folder = existing_folder(folder)
    check_choice("tracer", tracer, TRACERS)
    check_choice("split", split, SPLITS)
    click_files = click_files_in(folder, clicks) if clicks else {}
    studies = find_studies(folder)
    if not studies:
        raise InputError("holds no DICOM file", where=folder, mend="give the folder above the studies")
    every = [series for study in studies for series in study]
    owners = Counter(os.path.dirname(file) for series in every for file in series.files)
    masks = [Mask(file, series, referenced_series(file)) for series in every if series.sop_class in MASK_STORAGE
             for file in series.files]  # fmt: skip
    spare = {mask.file for mask in masks}
    cohort, first_case, names, shown, several = Cohort(), {}, Counter(), [], []
    warned: dict[str, list[str]] = {}
    for study in studies:
        name = _name(study, folder)
        try:
            pet, ct, reasons = choose_pet_ct(study)
            odd = check_headers(pet, ct)
        except InputError as error:
            if any(series.sop_class not in MASK_STORAGE for series in study):
                cohort.left.append((name, str(error)))
            continue
        name = _name([pet, ct], folder)
        names[name] += 1
        case = name if names[name] == 1 else f"{name}_{names[name]}"
        fitting = masks_of(masks, pet, ct)
        spare -= {
            mask.file for mask in masks if mask in fitting or mask.refers_to & {_series_uid(pet), _series_uid(ct)}
        }
        mask, regions, trouble = _one_mask(fitting)
        own_tracer = tracer or _tracer_of(pet) or tracer_in(name)
        own_split = split or ("train" if mask else "predict")
        if own_split != "predict" and not mask:
            trouble = trouble or f"no SEG or RTSTRUCT refers to its PET, and split {own_split} needs a mask"
        elif own_split == "train" and not own_tracer:
            trouble = trouble or "its tracer is not told, and a training case needs it; give --tracer"
        if trouble and split != "predict":
            cohort.left.append((case, trouble))
            continue
        cohort.left += [(f"{case}, series", reason) for reason in _without_masks(reasons)]
        known = bool(pet.patient)
        cohort.take(
            case,
            tracer=own_tracer,
            patient=first_case.setdefault(pet.patient, case) if known else case,
            centre=centre,
            split=own_split,
            ct=_column(ct, owners),
            pet=_column(pet, owners),
            label=mask.file if mask and own_split != "predict" else None,
            clicks=click_files.get(case),
        )
        for text in odd:
            warned.setdefault(_without_numbers(text), []).append(f"{case}: {text}")
        if _names_a_person(case, pet):
            shown.append(case)
        if len(regions) > 1 and own_split != "predict":
            several.append(f"{case}: {', '.join(regions[:4])}{', ...' if len(regions) > 4 else ''}")
    if shown:
        cohort.notes.append(
            f"{len(shown)} case names hold the patient name or identifier of the DICOM, by the names of your folders; "
            "rename these folders if they are not pseudonyms"
        )
    for texts in warned.values():
        more = f" (and {len(texts) - 1} more like it)" if len(texts) > 1 else ""
        cohort.notes.append(f"{texts[0]}{more}")
    note_spare_files(cohort, "clicks", click_files)
    if spare:
        cohort.notes.append(
            f"{len(spare)} SEG or RTSTRUCT files belong to no study that was taken (first: {min(spare)})"
        )
    if several:
        cohort.notes.append(
            f"{len(several)} masks hold several regions ({several[0]}); all of them count as lesions unless the config "
            "key ingest.label_regions names those that do"
        )
    return cohort


def _name(series: Sequence[Series], folder: Path) -> str:
    """The path below `folder` that these series share, joined by `_`; the folder's own name where there is none."""
    parts = common_folder(series).relative_to(folder).parts
    return "_".join(parts) or folder.name


def _column(series: Series, owners: Counter) -> Path:
    """The series' folder if all files in it belong to the series, else its first file."""
    alone = len(series.files) == owners[os.path.dirname(series.files[0])]
    return series.folder if alone and series.sop_class not in MASK_STORAGE else series.path


def masks_of(masks: Sequence[Mask], pet: Series, ct: Series) -> list[Mask]:
    """Masks that refer to the PET; else to its CT; else to no series at all, but lie in its study."""
    for series in (pet, ct):
        fitting = [mask for mask in masks if _series_uid(series) in mask.refers_to]
        if fitting:
            return fitting
    return [mask for mask in masks if not mask.refers_to and mask.series.study == pet.study]


def _series_uid(series: Series) -> str:
    return header_text(series.headers[0], "SeriesInstanceUID")


def _one_mask(fitting: Sequence[Mask]) -> tuple[Mask | None, list[str], str]:
    """The mask of a study with the names of its regions, or why there is none although some fit."""
    if len(fitting) > 1:
        listed = ", ".join(mask.file.name for mask in fitting[:4])
        return None, [], f"{len(fitting)} masks belong to it ({listed}); keep one, or write the table by hand"
    if not fitting:
        return None, [], ""
    try:
        regions = list_regions(fitting[0].file)
    except InputError as error:
        return None, [], str(error)
    if not regions:
        return None, [], f"{fitting[0].file}: holds no region; export it again, or remove it"
    return fitting[0], regions, ""


def referenced_series(file: str | Path) -> set[str]:
    """SeriesInstanceUIDs that a DICOM SEG or RTSTRUCT file refers to; none for a damaged file."""
    tags = ["ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence"]
    try:
        header = read_header(file, tags)
        return {uid for item in _items(header) if (uid := header_text(item, "SeriesInstanceUID"))}
    except Exception:  # pydicom raises whatever a damaged file makes it
        return set()


def _items(dataset: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    for keyword in (
        "ReferencedSeriesSequence",
        "ReferencedFrameOfReferenceSequence",
        "RTReferencedStudySequence",
        "RTReferencedSeriesSequence",
    ):
        for item in header_value(dataset, keyword) or ():
            yield item
            yield from _items(item)


def _tracer_of(pet: Series) -> str:
    """The tracer that the PET's radiopharmaceutical or description says, else empty."""
    texts = [pet.description]
    for item in header_value(pet.headers[0], "RadiopharmaceuticalInformationSequence") or ():
        texts.append(header_text(item, "Radiopharmaceutical"))
        codes = header_value(item, "RadiopharmaceuticalCodeSequence") or ()
        texts += [header_text(code, "CodeMeaning") for code in codes]
    text = " ".join(texts).lower()
    found = [tracer for tracer, words in _TRACER_WORDS.items() if any(word in text for word in words)]
    return found[0] if len(found) == 1 else ""


def _without_masks(reasons: Sequence[str]) -> list[str]:
    return [reason for reason in reasons if not reason.startswith(("RTSTRUCT", "SEG"))]


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.]*", "#", text)


def _names_a_person(case: str, pet: Series) -> bool:
    header = read_header(pet.path, ["PatientName", "PatientID"], marked=False)
    texts = (str(header_value(header, "PatientName") or ""), header_text(header, "PatientID"))
    words = {word for text in texts for word in [text, *re.split(r"[\^=\s,]+", text)] if len(word) > 2}
    return any(word.lower() in case.lower() for word in words)
