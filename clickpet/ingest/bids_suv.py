"""SUV of a PET in a BIDS data set, from its metadata by the rules of DICOM.

BIDS specification 1.10, "Positron Emission Tomography": times are seconds from TimeZero.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clickpet.dicom.attenuation import says_uncorrected
from clickpet.dicom.injection import UNITS_BQ
from clickpet.dicom.nuclides import nuclide_named
from clickpet.dicom.suv import suv_factor
from clickpet.dicom.suv_tags import label
from clickpet.dicom.times import DAY_S
from clickpet.errors import InputError
from clickpet.ingest.bids_files import read_metadata, weight_tables

#: Units of the image: what DICOM calls them, and how many of those one is.
UNITS = {"bq/ml": ("BQML", 1.0), "kbq/ml": ("BQML", 1e3), "mbq/ml": ("BQML", 1e6), "g/ml": ("GML", 1.0)}
#: Names under which a sidecar may tell the weight in kg (the specification leaves it to participants.tsv).
WEIGHT_KEYS = ("BodyWeight", "PatientWeight")
#: Weights from two places that differ by more than this part are doubtful.
_SAME_WEIGHT = 0.05
_MEND = "complete the JSON beside the PET"
#: What messages of the DICOM rules call an attribute, and the key of BIDS that it came from.
_KEYS = {
    "RadionuclideTotalDose": "InjectedRadioactivity",
    "RadionuclideHalfLife": "TracerRadionuclide",
    "PatientWeight": "weight",
    "RadiopharmaceuticalStartDateTime": "InjectionStart",
    "RadiopharmaceuticalStartTime": "InjectionStart",
    "SeriesTime": "ImageDecayCorrectionTime",
    "AcquisitionTime": "FrameTimesStart",
    "ActualFrameDuration": "FrameDuration",
    "DecayCorrection": "ImageDecayCorrected",
    "CorrectedImage": "AttenuationCorrection",
    "Units": "Units",
}


def suv_of_bids(path: Path) -> tuple[float, dict[str, Any]]:
    """The factor from the values of a BIDS PET to SUV (body weight, g/ml), and the record of how it came about.

    Units, dose, weight, nuclide, times and decay correction go through the rules for DICOM (`suv_factor`): what is
    missing or of no person or nuclide is an InputError, what is odd but possible a warning of the record.
    """
    data = read_metadata(path)
    name, scale = _units(data, path)
    doubts: list[str] = []
    header = {
        "Modality": "PT",
        "Units": name,
        "CorrectedImage": _corrections(data, path),
        "PatientWeight": _weight_kg(data, path, doubts),
    }
    if name == "BQML":
        header |= _injection(data, path) | _clock(data, path)
    try:
        audit = suv_factor([header], where=path)
    except InputError as error:
        what, _, mend = str(error).removeprefix(f"{path}: ").rpartition("; ")
        raise InputError(_in_bids(what or mend), where=path, mend=_MEND) from None
    if name == "BQML" and audit.dose_read_as == "MBq":  # it was handed over in Bq
        doubts.append(f"InjectedRadioactivity of {header['RadionuclideTotalDose']:g} Bq was taken to be in MBq")
    record = audit.to_dict()
    record["tags"] = list(dict.fromkeys(_in_bids(tag) for tag in record["tags"]))
    record["warnings"] = [*map(_in_bids, record["warnings"]), *doubts]
    record["rule"] = _in_bids(record["rule"])
    return audit.factor * scale, {"source": "BIDS", **record, "factor": audit.factor * scale}


def _in_bids(text: str) -> str:
    """A message of the DICOM rules with the keys of BIDS in the place of attributes and tags."""
    for keyword, key in _KEYS.items():
        text = text.replace(label(keyword), key)
        text = re.sub(rf"\b{keyword}\b", key, text)
    return text


def _units(data: Mapping, path: Path) -> tuple[str, float]:
    text = str(data.get("Units", "")).replace(" ", "").lower()
    if text not in UNITS:
        named = f"Units are {data['Units']!r}" if "Units" in data else "Units are missing"
        raise InputError(f"{named}, not Bq/mL, kBq/mL or g/mL", where=path, mend=_MEND)
    return UNITS[text]


def _corrections(data: Mapping, path: Path) -> list[str]:
    """Codes of CorrectedImage; InputError unless the image is corrected for attenuation."""
    method = str(data.get("AttenuationCorrection") or "").strip()
    if not method:
        raise InputError("AttenuationCorrection is missing", where=path, mend=_MEND)
    if says_uncorrected(method) or method.lower() == "n/a":
        raise InputError(
            f"is not corrected for attenuation (AttenuationCorrection is {method[:40]!r})",
            where=path,
            mend="give the attenuation-corrected reconstruction",
        )
    return ["ATTN", *["DECY"] * bool(data.get("ImageDecayCorrected"))]


def _injection(data: Mapping, path: Path) -> dict[str, Any]:
    """Dose in Bq and half-life in s, as DICOM has them."""
    dose = _number(data, "InjectedRadioactivity", path)
    unit = str(data.get("InjectedRadioactivityUnits") or "")
    units = {name.lower(): factor for name, factor in UNITS_BQ.items()}
    if unit.lower() not in units:
        named = f"InjectedRadioactivityUnits are {unit!r}" if unit else "InjectedRadioactivityUnits are missing"
        raise InputError(f"{named}, not {', '.join(UNITS_BQ)}", where=path, mend=_MEND)
    text = str(data.get("TracerRadionuclide") or "")
    nuclide = nuclide_named(re.sub(r"([A-Za-z]+)-?(\d+)", r"\1 \2", re.sub(r"(\d+)-?([A-Za-z]+)", r"\1 \2", text)))
    if nuclide is None:
        named = (
            f"TracerRadionuclide {text[:20]!r} is no nuclide known here" if text else "TracerRadionuclide is missing"
        )
        raise InputError(named, where=path, mend=_MEND)
    dose_bq = dose * units[unit.lower()]
    return {"RadionuclideTotalDose": dose_bq, "RadionuclideHalfLife": nuclide.half_life_s}


def _clock(data: Mapping, path: Path) -> dict[str, Any]:
    """Injection and decay reference as times of day; only the seconds between them count."""
    starts, durations = _numbers(data, "FrameTimesStart", path), _numbers(data, "FrameDuration", path)
    if len(starts) != 1 or len(durations) != 1:
        raise InputError(
            f"is dynamic ({max(len(starts), len(durations))} frames)", where=path, mend="give the static image"
        )
    corrected = data.get("ImageDecayCorrected")
    if not isinstance(corrected, bool):
        raise InputError("ImageDecayCorrected is missing, or neither true nor false", where=path, mend=_MEND)
    injected_s = _number(data, "InjectionStart", path)
    clock = {"RadiopharmaceuticalStartTime": _time_of_day(injected_s)}
    if not corrected:
        measured = {"AcquisitionTime": _time_of_day(starts[0]), "ActualFrameDuration": durations[0] * 1000}
        return {**clock, **measured, "DecayCorrection": "NONE"}
    reference_s = _number(data, "ImageDecayCorrectionTime", path)
    if reference_s < injected_s:
        raise InputError(
            f"ImageDecayCorrectionTime ({reference_s:g} s) lies before InjectionStart ({injected_s:g} s)",
            where=path,
            mend="correct the times in the JSON beside the PET: seconds from TimeZero",
        )
    if reference_s == injected_s:
        return {**clock, "DecayCorrection": "ADMIN"}
    scan = _time_of_day(reference_s)
    return {**clock, "DecayCorrection": "START", "SeriesTime": scan, "AcquisitionTime": scan}


def _time_of_day(seconds: float) -> str:
    """Seconds from TimeZero as a DICOM time of day, as if TimeZero were noon."""
    second = (seconds + DAY_S / 2) % DAY_S
    return f"{int(second // 3600):02d}{int(second % 3600 // 60):02d}{second % 60:09.6f}"


def _number(data: Mapping, key: str, path: Path) -> float:
    values = _numbers(data, key, path)
    if len(values) != 1:
        raise InputError(f"{key} holds {len(values)} numbers, not one", where=path, mend=_MEND)
    return values[0]


def _numbers(data: Mapping, key: str, path: Path) -> list[float]:
    value = data.get(key)
    values = value if isinstance(value, list) else [value]
    good = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool) and np.isfinite(one)]
    if value is None or len(good) != len(values) or not good:
        state = "is missing" if value is None else "is no number"
        raise InputError(f"{key} {state}", where=path, mend=_MEND)
    return [float(one) for one in good]


# --- Weight


def _weight_kg(data: Mapping, path: Path, doubts: list[str]) -> float | None:
    """The patient's weight: of the sidecar, else sessions.tsv, else participants.tsv; None where none tells it."""
    told = [(key, float(data[key])) for key in WEIGHT_KEYS if isinstance(data.get(key), int | float)]
    for file, column, row in weight_tables(path):
        value = _table_weight(file, column, row)
        if value is not None:
            told.append((file.name, value))
    if not told:
        return None
    for name, value in told[1:]:
        if abs(value / told[0][1] - 1) > _SAME_WEIGHT:
            doubts.append(
                f"the weight is {told[0][1]:g} kg by {told[0][0]} and {value:g} kg by {name}; the first was taken"
            )
    return told[0][1]


def _table_weight(file: Path, column: str, row: str) -> float | None:
    """The weight in kg in a row of a table; None where the table, the row or the number is missing."""
    if not file.is_file():
        return None
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    names = {(name or "").strip().lower(): name for name in (table[0] if table else {})}
    if column not in names or "weight" not in names:
        return None
    told = [line[names["weight"]] for line in table if (line[names[column]] or "").strip() == row]
    unit = _column_unit(file, names["weight"])
    if unit and unit.lower() not in ("kg", "kilogram", "kilograms"):
        raise InputError(f"its weights are in {unit!r}, not in kg", where=file, mend="convert them to kg")
    try:
        return float(told[0]) if told else None
    except (TypeError, ValueError):
        return None


def _column_unit(file: Path, column: str) -> str:
    described = file.with_suffix(".json")
    try:
        return str(json.loads(described.read_text(encoding="utf-8-sig"))[column].get("Units", ""))
    except (OSError, ValueError, KeyError, AttributeError):
        return ""
