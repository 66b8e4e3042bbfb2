"""Damaged slice files: to which series a file belongs that is empty, cut or zeroed, and no longer says so itself.

A slice that is lost at either end of a series would shorten the volume without a gap to notice it by. A file counts as
a lost slice if it is named as the slices beside it are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

#: Endings of names that DICOM files have.
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima", ".img")
#: Files that operating systems and viewers leave in folders.
_NOT_SLICES = re.compile(r"\..*|thumbs\.db|desktop\.ini|dicomdir|.*\.(?:txt|csv|xml|json|pdf|html?|log|md5|sha\d+|zip)")


def attribute_damage(
    broken: Mapping[Path, str], series: Sequence[Sequence[Path]]
) -> tuple[list[list[tuple[Path, str]]], list[Path]]:
    """Damaged files by series, and those that no series claims.

    broken : what is wrong with each file that is no readable DICOM;  series : the files of each series.
    Returns a list of (file, what is wrong) for each series, and the damaged files of folders without any series, as far
    as they say that they are DICOM. In a folder of several series whose names follow each other a damaged file belongs
    to its neighbours' series, else to every series whose files are named alike.
    """
    found: list[list[tuple[Path, str]]] = [[] for _ in series]
    alone = []
    beside: dict[Path, list[tuple[Path, int]]] = {}
    for index, files in enumerate(series):
        for file in files:
            beside.setdefault(file.parent, []).append((file, index))
    for members in beside.values():
        members.sort(key=lambda member: _natural(member[0].name))
    for file, state in broken.items():
        members = beside.get(file.parent, [])
        alike = [(member, index) for member, index in members if _alike(file.name, member.name)]
        for index in sorted(_owners(file, alike)):
            found[index].append((file, state))
        if not alike and state.endswith("damaged"):  # it has the DICM mark
            alone.append(file)
    return found, alone


def _owners(file: Path, members: Sequence[tuple[Path, int]]) -> set[int]:
    """Series that a damaged file may belong to; members : (file, series) of its folder in natural order."""
    indices = [index for _, index in members]
    changes = sum(one != other for one, other in pairwise(indices))
    if changes >= len(set(indices)):  # names without order
        return set(indices)
    place = sum(_natural(member.name) < _natural(file.name) for member, _ in members)
    return set(indices[max(0, place - 1) : place + 1])


def _alike(name: str, slice_name: str) -> bool:
    """Whether a file is named as a slice is: the same ending, and the same text around its numbers."""
    name, slice_name = name.lower(), slice_name.lower()
    if _NOT_SLICES.fullmatch(name):
        return False
    if name.endswith(_DICOM_ENDINGS) and Path(name).suffix == Path(slice_name).suffix:
        return True
    return _pattern(name) == _pattern(slice_name)


def _pattern(name: str) -> str:
    """A name with its numbers, and hexadecimal words of eight digits or more, taken out."""
    return re.sub(r"\d[\d.]*", "#", re.sub(r"[0-9a-f]{8,}", "#", name))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders numbers in names by their value."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
