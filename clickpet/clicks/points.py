"""Points of click files: names and coordinates checked one by one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from clickpet.errors import InputError

_KINDS = {"tumor": "tumor", "tumour": "tumor", "background": "background"}


@dataclass(frozen=True)
class FilePoint:
    """A point of a click file: its kind, its voxel x, y, z, and what names its scribble (None: a click of its own)."""

    kind: str
    voxel: list[int]
    scribble: object = None


def kind_of(name: object) -> str | None:
    """The kind of click that a name or a numbered label ("Tumor-3", "background_1") says, None if none."""
    if not isinstance(name, str):
        return None
    return _KINDS.get(re.sub(r"[\s_.-]*\d*$", "", name.strip().lower()[:80]))


def voxel_of(point: object, where: str, shape) -> list[int]:
    """`point` as voxel indices x, y, z, checked against the grid."""
    voxel = three_numbers(point, where)
    if any(coordinate != math.floor(coordinate) for coordinate in voxel):
        raise InputError(
            f"{voxel} is not a voxel",
            where=where,
            mend="give whole voxel indices x, y, z (12 or 12.0), not millimetres",
        )
    voxel = [int(coordinate) for coordinate in voxel]
    if not is_inside(voxel, shape):
        turned = " (turned round it would fit: is it z, y, x?)" if is_inside(voxel[::-1], shape) else ""
        raise InputError(
            f"{voxel} is outside the grid {size_text(shape)}{turned}",
            where=where,
            mend="give voxel indices in the order x, y, z, from 0",
        )
    return voxel


def three_numbers(point: object, where: str) -> list[float]:
    """`point` if it is a list of three finite numbers."""
    numbers = isinstance(point, list) and all(isinstance(item, int | float) for item in point)
    if not numbers or any(isinstance(item, bool) for item in point) or len(point) != 3:
        raise InputError(f"has the coordinates {shown(point)}", where=where, mend="give three numbers x, y, z")
    if not all(abs(item) < 2**53 for item in point):  # not true for nan either
        raise InputError(f"has the coordinates {shown(point)}", where=where, mend="give three finite numbers x, y, z")
    return point


def is_inside(voxel: list[int], shape) -> bool:
    """True if the voxel lies in a grid of this shape."""
    return all(0 <= coordinate < length for coordinate, length in zip(voxel, shape, strict=True))


def size_text(shape) -> str:
    """A shape as "400x400x326"."""
    return "x".join(str(length) for length in shape)


def shown(value: object, most: int = 120) -> str:
    """A value for a message, cut to `most` characters."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
