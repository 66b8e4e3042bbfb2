"""DICOM series as volumes: CT in HU, PET as SUV, each with the record of how it was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clickpet.dicom.catalogue import Series, find_series, find_studies
from clickpet.dicom.files import is_dicom
from clickpet.dicom.pairing import mismatches
from clickpet.dicom.selection import choose_pet_ct, pick_series, refuse_damage
from clickpet.dicom.stack import DicomImage, read_series, stack_slices
from clickpet.dicom.suv import suv_factor

__all__ = ["Series", "check_headers", "choose_pet_ct", "find_series", "find_studies", "is_dicom", "load_ct", "load_suv"]


def load_ct(source: str | Path | Series) -> DicomImage:
    """A CT series as an Image: float32 HU (x, y, z), axes towards left, anterior, superior (LAS).

    source : a series, its folder, or one of its files; a folder may hold other series beside it. Where it holds the
    PET too, the CT that belongs to it is taken. Raises InputError where no CT or more than one fits, for missing,
    doubled, damaged or tilted slices and for files that cannot be decoded.
    """
    return read_series(pick_series(source, "CT"))[0]


def load_suv(source: str | Path | Series, *, timing: str = "series") -> tuple[DicomImage, dict[str, Any]]:
    """A PET series as float32 SUVbw (x, y, z), g/ml, axes LAS, and the record of how it became SUV.

    source, errors : as in `load_ct`;  timing : see `clickpet.dicom.suv.suv_factor`.
    The record adds to that of `SuvAudit.to_dict` a "geometry" section (gaps, doubled slices, resampling).
    """
    series = pick_series(source, "PT")
    audit = suv_factor(series.headers, timing=timing, where=series.folder if isinstance(source, Series) else source)
    image, geometry = read_series(series, factors=audit.factors)
    return image, {**audit.to_dict(), "geometry": geometry}


def check_headers(pet: Series, ct: Series) -> list[str]:
    """What is odd about a study by the headers of its PET and CT, as sentences; nothing is decoded.

    Raises InputError for what will not do: SUV, slices, geometry, damaged files.
    """
    for series in (pet, ct):
        refuse_damage(series)
    doubts = suv_factor(pet.headers, where=pet.folder).doubts
    for series in (pet, ct):
        stack_slices(series)
    return [*mismatches(pet, ct), *doubts]
