"""Single values out of DICOM headers, whatever the exporter made of them: None where they are missing or unreadable.

pydicom decodes values late, when they are asked for, and its warnings about odd values repeat the value, which may be a
name in the wrong place. Every access here is therefore made with its validation turned off; values are judged here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pydicom
from pydicom.config import disable_value_validation


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


def shown_number(value: Any) -> str:
    """A value that is no number, as messages may show it: digits and signs only, so that no name slips through."""
    text = str(joined(value) or "").strip()
    return text if re.fullmatch(r"(?=.*\d)[\d.,' +\-eE]{1,24}", text) else ""


def header_value(header: pydicom.Dataset, keyword: str) -> Any:
    """What an attribute holds."""
    try:
        with disable_value_validation():
            return header.get(keyword)
    except Exception:  # pydicom decodes late and raises whatever a damaged element makes it
        return None


def stored_text(header: pydicom.Dataset, tag: Any) -> str | None:
    """The stored characters of an attribute that cannot be decoded by its VR; None where there are none."""
    try:
        stored = header.get_item(tag)
    except Exception:  # pydicom raises whatever a damaged element makes it
        return None
    value = getattr(stored, "value", None)
    return plain(value) if isinstance(value, bytes) and len(value) <= 64 else None


def header_numbers(header: pydicom.Dataset, keyword: str) -> np.ndarray:
    """A long list of decimal strings (n,), empty where it is missing; raises ValueError for text that is no number.

    Read from the stored bytes: pydicom makes an object of every number, which takes seconds for a structure set.
    """
    if keyword not in header:
        return np.empty(0)
    stored = header.get_item(keyword).value
    if isinstance(stored, bytes):
        text = stored.decode("ascii").strip("\0 ")
        return np.array(text.split("\\"), float) if text else np.empty(0)
    return np.array([float(part) for part in header_value(header, keyword) or []])


def header_text(header: pydicom.Dataset, keyword: str) -> str:
    """An attribute as text, several values set off by backslashes as they are stored; "" where it is missing."""
    value = header_value(header, keyword)
    return "" if value is None else str(joined(value)).strip()


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
