"""Regions of a DICOM mask object by name or number, and what was noted while they were read."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clickpet.errors import InputError

log = logging.getLogger(__name__)


@dataclass
class Notes:
    """What is odd about an object and was dealt with: into the log at once, and kept for the record of the study."""

    file: Path
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.texts.append(text)
        log.warning("%s: %s", self.file, text)


def select_regions(
    names: Mapping[int, str], wanted: str | int | Sequence[str | int] | None, file: Path
) -> dict[int, str]:
    """Regions (number: name) that `wanted` names, in the object's order; all of them for None.

    Names: case and repeated spaces do not count. A name that a region has as it is means that region; else * and ?
    stand for any characters, as in file names, and nothing else is special (brackets, backslashes).
    Raises InputError where no region fits.
    """
    if wanted is None:
        return dict(names)
    asked = [wanted] if isinstance(wanted, str | int) else list(wanted)
    numbers = {number for one in asked for number in _matching(names, one)}
    if not numbers:
        told = ", ".join(repr(one) for one in asked)
        listed = ", ".join(_quoted(name) for name in list(names.values())[:8]) or "none"
        raise InputError(f"has no region {told}; it has {listed}", where=file, mend="correct ingest.label_regions")
    return {number: name for number, name in names.items() if number in numbers}


def region_label(name: str, number: int) -> str:
    """A region as messages name it."""
    return f"region {_quoted(name)}" if name else f"region number {number}"


def _quoted(name: str) -> str:
    return f"'{name[:64]}'"


def _matching(names: Mapping[int, str], wanted: str | int) -> list[int]:
    if isinstance(wanted, int):
        return [number for number in names if number == wanted]
    exact = [number for number, name in names.items() if _key(name) == _key(wanted)]
    pattern = _key(wanted).replace("[", "[[]")
    return exact or [number for number, name in names.items() if fnmatch.fnmatchcase(_key(name), pattern)]


def _key(name: str) -> str:
    return re.sub(r"\s+", " ", name.strip().lower())
