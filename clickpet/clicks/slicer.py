"""Reading of 3D Slicer Markups (.mrk.json): point lists and curves in millimetres as voxels of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from clickpet.clicks.points import FilePoint, is_inside, kind_of, shown, size_text, three_numbers
from clickpet.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Types of Markups whose control points are points that somebody placed one by one.
_POINT_LISTS = ("fiducial", "pointlist")
#: Types of Markups that are drawn: scribbles from control point to control point.
_PATHS = ("line", "curve", "closedcurve")
#: Values of "positionStatus" of a point that has no place (yet).
_NOT_PLACED = ("undefined", "preview", "missing")


def slicer_points(document: dict, path: Path, shape, affine: np.ndarray) -> Iterator[FilePoint]:
    """Give every placed point of the point lists in a Markups document, and every voxel along its lines and curves.

    document : has the key "markups";  path : for messages, and its name may say the kind;  shape, affine : the grid.
    The label of a point, else the name of its list, else the name of the file says the kind. Points that are listed
    but not placed are left out. A line or curve is a scribble: the voxels on the straight way from each control point
    to the next, and of a closed curve back to the first. Raises InputError for Markups of other types (planes, angles,
    regions: their control points are corners, not clicks), unknown coordinate systems, units and states, points
    outside, and lines and curves whose points are of two kinds.
    """
    to_voxel = np.linalg.inv(affine)
    number = 0
    for place, markup in enumerate(_list_of_objects(document["markups"], "markups", path)):
        system = _check_list(markup, path)
        world_to_ras = np.eye(4) if system == "RAS" else LPS_TO_RAS
        points: list[FilePoint] = []
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
            points.append(FilePoint(kind, voxel))
        yield from points if _type_of(markup) in _POINT_LISTS else _along(points, markup, (path, place))


def _along(points: list[FilePoint], markup: dict, scribble: object) -> list[FilePoint]:
    """The voxels on the way of a line or curve through `points`, each once."""
    kinds = {point.kind for point in points}
    if len(kinds) > 1:
        raise InputError(
            "holds a curve with tumor and background points",
            where=scribble[0],
            mend="draw one curve for each, and label its points or name it after one of the two",
        )
    ends = [point.voxel for point in points]
    if _type_of(markup) == "closedcurve":
        ends += ends[:1]
    way = ends[:1]
    for begin, end in pairwise(ends):
        way += voxels_between(begin, end)[1:]
    return [FilePoint(points[0].kind, list(voxel), scribble) for voxel in dict.fromkeys(map(tuple, way))]


def voxels_between(begin: list[int], end: list[int]) -> list[list[int]]:
    """Voxels on the straight line between two, both included; each touches the one before."""
    begin, step = np.array(begin), np.array(end) - np.array(begin)
    count = int(np.abs(step).max())
    return np.floor(begin + np.arange(count + 1)[:, None] * step / max(count, 1) + 0.5).astype(int).tolist()


def _type_of(markup: dict) -> str:
    return str(markup.get("type", "Fiducial")).lower()


def _check_list(markup: dict, path: Path) -> str:
    """The coordinate system of a point list, LPS or RAS; InputError if it is none that can be read."""
    if _type_of(markup) not in (*_POINT_LISTS, *_PATHS):
        raise InputError(
            f"holds a Markup of type {shown(markup.get('type'))}, whose control points are no clicks",
            where=path,
            mend="place the clicks as a point list (Fiducial) or curve in 3D Slicer and save that",
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
