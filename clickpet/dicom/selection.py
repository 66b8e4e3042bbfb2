"""Choosing the PET and the CT of a study among its series, and what does not fit between the two."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from clickpet.dicom.catalogue import DAMAGED, Series, common_folder, find_series
from clickpet.dicom.pairing import coverage, length_mm, refuse_foreign
from clickpet.dicom.stack import stack_slices
from clickpet.errors import InputError

#: A PET series that covers less than this part of the longest one is an extra bed, not a rival.
EXTRA_BED = 0.6


def choose_pet_ct(study: str | Path | Sequence[Series]) -> tuple[Series, Series, list[str]]:
    """The PET series of a study, its CT, and for every other series why it was left.

    study : a folder, or the series of one study. PET: attenuation-corrected, static, a volume; an extra bed (shorter
    than EXTRA_BED of the longest) is left. CT: of the PET's patient, in its frame of reference, covering most of it,
    axial, with a soft kernel. Series that make no volume (tilted, slices missing or damaged) are left where another one
    fits as well. Raises InputError where none or more than one is left, for a CT of another patient and for one that
    covers less than LEAST_COVERAGE of the PET.
    """
    found = find_series(study) if isinstance(study, str | Path) else list(study)
    where = study if isinstance(study, str | Path) else common_folder(found)
    left: dict[int, str] = {}
    pet = _choose(found, "PT", where, left)
    ct = _choose(found, "CT", where, left, pet=pet)
    refuse_foreign(pet, ct, where)
    reasons = [
        f"{series.label()}: {left.get(id(series)) or series.unfit}"
        for series in found
        if series is not pet and series is not ct
    ]
    return pet, ct, reasons


def pick_series(source: str | Path | Series, modality: str) -> Series:
    """The series of `modality` that `source` means; InputError for none, several, and one with damaged slices."""
    if isinstance(source, Series):
        if source.modality != modality:
            raise InputError(f"is {source.modality}, not {modality}", where=source.folder)
        refuse_damage(source)
        return source
    found = find_series(source)
    if Path(source).is_file() and found[0].modality != modality:
        raise InputError(f"belongs to a series of {found[0].modality}, not {modality}", where=source)
    left: dict[int, str] = {}
    pet = None
    if modality == "CT" and any(series.modality == "PT" and not series.unfit for series in found):
        try:
            pet = _choose(found, "PT", source, left)
        except InputError:
            pet = None
    chosen = _choose(found, modality, source, left, pet=pet)
    refuse_damage(chosen)
    return chosen


def refuse_damage(series: Series) -> None:
    """InputError where files among the slices of a series are empty, cut or zeroed."""
    if not series.damaged:
        return
    file, state = series.damaged[0]
    more = f" ({len(series.damaged)} such files)" if len(series.damaged) > 1 else ""
    raise InputError(
        f"lies among the slices of a series and {state}{more}",
        where=file,
        mend="copy it again, or remove it if it is no slice",
    )


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
        if len(candidates) == 1:
            break
        kept = better(candidates, pet)
        for series in candidates:
            if series not in kept:
                left[id(series)] = reason if reason != _NO_VOLUME else unreadable(series)
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
    damaged = [series for series in found if series.modality == DAMAGED]
    if damaged:
        raise InputError("is a damaged DICOM file", where=damaged[0].path, mend="copy it again or remove it")
    counts: dict[str, int] = {}
    for series in found:
        counts[series.modality] = counts.get(series.modality, 0) + 1
    seen = ", ".join(f"{number} of {kind}" for kind, number in sorted(counts.items())) or "no DICOM at all"
    raise InputError(f"holds no {name} series ({seen})", where=where, mend=f"give the folder of a {name} series")


def unreadable(series: Series) -> str:
    """Why a series makes no volume, by its headers and damaged files; "" where it does."""
    try:
        refuse_damage(series)
        stack_slices(series)
    except InputError as error:
        return f"cannot be read: {error}"
    return ""


# Filters: each keeps those of the candidates that are better, or all where none is.


def _corrected(candidates: list[Series], pet: Series | None) -> list[Series]:
    for wanted in ((True,), (True, None)):
        kept = [series for series in candidates if series.attenuation_corrected in wanted]
        if kept:
            return kept
    return candidates


def _longest(candidates: list[Series], pet: Series | None) -> list[Series]:
    longest = max(length_mm(series) for series in candidates)
    return [series for series in candidates if length_mm(series) >= EXTRA_BED * longest]


def _same_patient(candidates: list[Series], pet: Series | None) -> list[Series]:
    if pet is None or not pet.patient:
        return candidates
    return [series for series in candidates if series.patient in ("", pet.patient)] or candidates


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
    covered = [coverage(series, pet) or 0.0 for series in candidates]
    return [series for series, part in zip(candidates, covered, strict=True) if part >= 0.9 * max(covered)]


def _axial(candidates: list[Series], pet: Series | None) -> list[Series]:
    upright = [series for series in candidates if series.normal is not None and abs(series.normal[2]) > 0.9]
    return upright or candidates


def _readable(candidates: list[Series], pet: Series | None) -> list[Series]:
    return [series for series in candidates if not unreadable(series)] or candidates


def _soft(candidates: list[Series], pet: Series | None) -> list[Series]:
    return [series for series in candidates if not is_sharp(series.kernel)] or candidates


_NO_VOLUME = "cannot be read"
_Filter = Callable[[list[Series], Series | None], list[Series]]
_PET_FILTERS: tuple[tuple[str, _Filter], ...] = (
    ("not attenuation-corrected, or not said to be", _corrected),
    ("an extra bed, much shorter than the other", _longest),
    (_NO_VOLUME, _readable),
)
_CT_FILTERS: tuple[tuple[str, _Filter], ...] = (
    ("of another patient than the PET", _same_patient),
    ("of another study than the PET", _same_study),
    ("in another frame of reference than the PET", _same_frame),
    ("covers less of the PET", _covering),
    ("not axial", _axial),
    (_NO_VOLUME, _readable),
    ("sharp kernel", _soft),
)


def is_sharp(kernel: str) -> bool:
    """Lung and bone kernels: GE by name, Philips by letter, Siemens from 55 on, Canon FC30-39 and FC50 on."""
    if kernel in {"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "L", "YD", "YE", "D", "E"}:
        return True
    siemens = re.match(r"(?:B|BR|BL|BV|I|H|HR|Q|QR|U|UR)(\d\d)", kernel)
    if siemens:
        return int(siemens[1]) >= 55
    canon = re.match(r"FC(\d\d)", kernel)
    return bool(canon) and (30 <= int(canon[1]) < 40 or int(canon[1]) >= 50)
