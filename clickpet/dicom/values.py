"""Single values out of DICOM headers, whatever the exporter made of them: None where they are missing or unreadable."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pydicom

# pydicom's warnings about odd values repeat the value, which may be a name in the wrong place: values are judged here
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def plain(value: Any) -> Any:
    """Bytes (private attributes in implicit VR) as text; empty as None."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore").strip("\0 ")
    if isinstance(value, str):
        value = value.strip("\0 ")
    return None if value is None or value == "" else value


def joined(value: Any) -> Any:
    """A multi-valued attribute as one text, parts set off by backslashes as DICOM stores them."""
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    try:
        return "\\".join(str(part) for part in value)
    except TypeError:
        return value


def codes(value: Any) -> tuple[str, ...]:
    """The values of a coded attribute (CS), upper case; what is no code is left out."""
    text = str(joined(value) or "").upper()
    return tuple(code.strip() for code in re.split(r"[\\,]", text) if re.fullmatch(r"\s*[A-Z0-9_ ]{1,16}", code))


def number_of(value: Any) -> float | None:
    """A value (the first of several) as a number."""
    try:
        return None if value is None else float(str(joined(value)).split("\\")[0])
    except ValueError:
        return None


def header_value(header: pydicom.Dataset, keyword: str) -> Any:
    """What an attribute holds."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom decodes late and raises whatever a damaged element makes it
        return None


def header_text(header: pydicom.Dataset, keyword: str) -> str:
    """An attribute as text; "" where it is missing."""
    value = header_value(header, keyword)
    return "" if value is None else str(value).strip()


def header_values(header: pydicom.Dataset, keyword: str) -> list[Any]:
    """All values of an attribute."""
    value = header_value(header, keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)


def header_integer(header: pydicom.Dataset, keyword: str) -> int | None:
    """An attribute as a whole number."""
    number = header_number(header, keyword)
    return None if number is None or not np.isfinite(number) else int(number)


def header_number(header: pydicom.Dataset, keyword: str) -> float | None:
    """An attribute with one value as a number."""
    try:
        return float(str(header_value(header, keyword)))
    except ValueError:
        return None


def header_vector(header: pydicom.Dataset, keyword: str, length: int) -> np.ndarray | None:
    """An attribute of `length` finite numbers."""
    try:
        values = np.array([float(part) for part in header_values(header, keyword)])
    except (TypeError, ValueError):
        return None
    return values if values.shape == (length,) and np.all(np.isfinite(values)) else None
