"""Reading of 3D Slicer Markups (.mrk.json): point lists in millimetres as voxels of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clickpet.clicks.points import is_inside, kind_of, shown, size_text, three_numbers
from clickpet.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Types of Markups whose control points are points that somebody placed one by one.
_POINT_LISTS = ("fiducial", "pointlist")
#: Values of "positionStatus" of a point that has no place (yet).
_NOT_PLACED = ("undefined", "preview", "missing")


def slicer_points(document: dict, path: Path, shape, affine: np.ndarray) -> Iterator[tuple[str, list[int]]]:
    """Give (kind, voxel) of every placed point of the point lists in a Markups document.

    document : has the key "markups";  path : for messages, and its name may say the kind;  shape, affine : the grid.
    The label of a point, else the name of its list, else the name of the file says the kind. Points that are listed
    but not placed are left out. Raises InputError for Markups of other types (lines, planes, angles, regions, curves:
    their control points are corners, not clicks), unknown coordinate systems, units and states, and points outside.
    """
    to_voxel = np.linalg.inv(affine)
    number = 0
    for markup in _list_of_objects(document["markups"], "markups", path):
        system = _check_list(markup, path)
        world_to_ras = np.eye(4) if system == "RAS" else LPS_TO_RAS
        for point in _list_of_objects(markup.get("controlPoints", []), "controlPoints", path):
            number += 1
            where = f"{path}: point {number}"
            if not _is_placed(point, where):
                continue
            names = (point.get("label"), markup.get("name"), path.name.removesuffix(".mrk.json").removesuffix(".json"))
            kind = next((kind for kind in map(kind_of, names) if kind), None)
            if kind is None:
                raise InputError(
                    f"has the label {shown(point.get('label'))}",
                    where=where,
                    mend='label the points "tumor-1", "background-1", ... or name their list (and file) so',
                )
            where += f" ({kind})"
            position_mm = three_numbers(point.get("position"), where)
            position_vox = (to_voxel @ world_to_ras @ np.array([*position_mm, 1.0]))[:3]
            voxel = [math.floor(coordinate + 0.5) for coordinate in position_vox.tolist()]
            if not is_inside(voxel, shape):
                raise InputError(
                    f"at {position_mm} mm {system} is voxel {voxel}, outside the grid {size_text(shape)}",
                    where=where,
                    mend="place it inside the PET, or check that the list belongs to this study",
                )
            yield kind, voxel


def _check_list(markup: dict, path: Path) -> str:
    """The coordinate system of a point list, LPS or RAS; InputError if it is none that can be read."""
    kind = markup.get("type", "Fiducial")
    if not isinstance(kind, str) or kind.lower() not in _POINT_LISTS:
        raise InputError(
            f"holds a Markup of type {shown(kind)}, whose control points are no clicks",
            where=path,
            mend="place the clicks as a point list (Fiducial) in 3D Slicer and save that",
        )
    system = markup.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise InputError(f"has the coordinate system {shown(system)}", where=path, mend="save the list as LPS or RAS")
    units = markup.get("coordinateUnits", "mm")
    if units not in ("mm", ["mm", "mm", "mm"]):
        raise InputError(f"has coordinates in {shown(units)}", where=path, mend="save the list in mm")
    return system


def _is_placed(point: dict, where: str) -> bool:
    status = point.get("positionStatus", "defined")
    if status != "defined" and status not in _NOT_PLACED:
        raise InputError(
            f"has the positionStatus {shown(status)}",
            where=where,
            mend=f"known are defined, {', '.join(_NOT_PLACED)}; save the point list from 3D Slicer again",
        )
    return status == "defined"


def _list_of_objects(value: object, name: str, path: Path) -> list[dict]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(
            f"{name!r} is not a list of objects", where=path, mend="save the point list from 3D Slicer again"
        )
    return value
