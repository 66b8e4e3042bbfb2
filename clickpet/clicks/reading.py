"""Reading of click files: Grand Challenge JSON, plain JSON, 3D Slicer point lists and curves."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.clicks.points import FilePoint, kind_of, shown, voxel_of
from clickpet.clicks.slicer import slicer_points
from clickpet.errors import InputError
from clickpet.files import parse_json

#: Most points of a study: five scribbles have some hundreds.
MAX_POINTS = 2000
#: Largest file: 3D Slicer writes about 500 bytes a point.
MAX_FILE_BYTES = 16 * 2**20


def read_clicks(
    path: str | Path, *, shape: tuple[int, int, int], affine: np.ndarray, missing_ok: bool = False
) -> Clicks:
    """Read the clicks of a study whose PET has the grid (`shape`, `affine`).

    Formats, told apart by their content:

    - Grand Challenge JSON, type "Multiple points" or "Point": voxel indices x, y, z, name tumor or background. Points
      of a kind with the same number under "scribble" are one scribble (`clickpet.clicks.writing` writes it);
    - the plain variant ``{"tumor": [[x, y, z], ...], "background": [...]}``: voxel indices x, y, z;
    - rounds, ``{"rounds": [...]}``, each as one of these two: the points of a kind that a round adds are its scribble;
    - 3D Slicer Markups (.mrk.json): point lists in millimetres, LPS unless the file says RAS; each point goes to the
      nearest voxel. The label of a point ("tumor-1"), else the name of its list, else the name of the file
      ("tumor.mrk.json") says what it is. Lines and open and closed curves are scribbles along their path. A folder
      stands for all .mrk.json files in it.

    All other points are clicks of their own; `clickpet.clicks.grouping.join_touching` makes scribbles of those that
    touch. A file without content (zero bytes) or without points gives no clicks, and so does a missing file
    with `missing_ok`. A voxel that was clicked twice stays twice.

    Raises InputError (one line: file, number of the point, mend) for a missing or unreadable file, an unknown format
    or name, a key that is there twice, coordinates that are not whole numbers (12.0 is), points outside the grid, a
    voxel clicked as both kinds, and more than MAX_POINTS points.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if missing_ok:
            return Clicks.empty()
        raise InputError("no such file", where=path, mend="correct the path, or leave it empty for no clicks") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, mend="correct the path") from error
    files = _point_lists_in(path) if stat.S_ISDIR(mode) else [path]
    points: list[FilePoint] = []
    for file in files:
        for point in _points(_load(file), file, tuple(shape), affine):
            points.append(point)
            if len(points) > MAX_POINTS:
                raise InputError(
                    f"holds more than {MAX_POINTS} points", where=path, mend="give clicks or scribbles, not whole masks"
                )
    _check_for_contradiction(points, path)
    return _as_clicks(points)


def read_rounds_of_file(path: str | Path, *, shape: tuple[int, int, int], affine: np.ndarray) -> list[Clicks]:
    """The points of each round in one file: those under "rounds", else each click or scribble is a round of its own.

    Arguments and errors are those of `read_clicks`. Each holds what the file holds of that round: all points so far, or
    its own alone.
    """
    everything = read_clicks(path, shape=shape, affine=affine)
    document = {} if Path(path).is_dir() else _load(Path(path))
    if not isinstance(document, dict) or "rounds" not in document:
        return [Clicks.from_interactions([one]) for one in everything.interactions()]
    return [_as_clicks(list(_voxel_points(one, f"{path}", tuple(shape)))) for one in document["rounds"]]


def _as_clicks(points: list[FilePoint]) -> Clicks:
    """Points without a scribble by kind, as ever; where there are scribbles, all in the order of their first points."""
    if all(point.scribble is None for point in points):
        return Clicks(*([point.voxel for point in points if point.kind == kind] for kind in KINDS))
    groups: dict[object, list[FilePoint]] = {}
    for number, point in enumerate(points):
        key = number if point.scribble is None else (point.kind, point.scribble)
        groups.setdefault(key, []).append(point)
    return Clicks.from_interactions(
        Interaction(group[0].kind, [point.voxel for point in group]) for group in groups.values()
    )


def _point_lists_in(folder: Path) -> list[Path]:
    """The .mrk.json files of a folder; hidden ones are not (file systems of a Mac leave `._name` beside `name`)."""
    files = sorted(file for file in folder.glob("*.mrk.json") if not file.name.startswith(".") and file.is_file())
    if not files:
        raise InputError(
            "no .mrk.json file in this folder", where=folder, mend="save the point lists of 3D Slicer in it"
        )
    return files


def _load(path: Path) -> object:
    """The JSON document in `path`; an empty object if the file has no content."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"holds {size / 2**20:.0f} MB, more than clicks can", where=path, mend="give a click file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, mend="check the file") from error
    except UnicodeDecodeError as error:
        raise InputError("is not a text file", where=path, mend="give the clicks as JSON") from error
    return parse_json(text, where=path) if text.strip() else {}


def _check_for_contradiction(points: list[FilePoint], path: Path) -> None:
    voxels = {kind: {tuple(point.voxel) for point in points if point.kind == kind} for kind in KINDS}
    both = voxels["tumor"] & voxels["background"]
    if both:
        raise InputError(
            f"has the voxel {list(min(both))} both as tumor and as background", where=path, mend="remove one of the two"
        )


def _points(document: object, path: Path, shape, affine) -> Iterator[FilePoint]:
    """Give every point of `document`, checked."""
    if not isinstance(document, dict):
        raise InputError(
            f"holds a JSON {_json_type(document)}, not an object",
            where=path,
            mend="give Grand Challenge points, tumor and background lists, or 3D Slicer Markups",
        )
    if "markups" in document:
        return slicer_points(document, path, shape, affine)
    if "rounds" in document:
        return _points_of_rounds(document["rounds"], path, shape)
    return _voxel_points(document, path, shape)


def _voxel_points(document: dict, path: object, shape) -> Iterator[FilePoint]:
    if "points" in document or "point" in document or "type" in document:
        return _challenge_points(document, path, shape)
    return _plain_points(document, path, shape)


def _points_of_rounds(rounds: object, path: Path, shape) -> Iterator[FilePoint]:
    """The points that each round adds to those before it, as its scribble."""
    if not isinstance(rounds, list) or not all(isinstance(document, dict) for document in rounds):
        raise InputError('"rounds" is not a list of objects', where=path, mend="give each round as a click file has it")
    seen: Counter = Counter()
    for number, document in enumerate(rounds):
        here: Counter = Counter()
        for point in _voxel_points(document, f"{path}: round {number}", shape):
            voxel = (point.kind, *point.voxel)
            here[voxel] += 1
            if here[voxel] > seen[voxel]:
                yield FilePoint(point.kind, point.voxel, (number, point.scribble))
        seen |= here


def _challenge_points(document: dict, path: object, shape) -> Iterator[FilePoint]:
    kind_of_file = document.get("type", "Multiple points" if "points" in document else "Point")
    if kind_of_file not in ("Multiple points", "Point"):
        raise InputError(
            f"is of type {shown(kind_of_file)}", where=path, mend='the type of clicks is "Multiple points"'
        )
    points = [document] if kind_of_file == "Point" else document.get("points")
    if not isinstance(points, list):
        raise InputError('"points" is not a list', where=path, mend='write "points": [] where there are no clicks')
    for number, point in enumerate(points, start=1):
        where = f"{path}: point {number}"
        if not isinstance(point, dict):
            raise InputError(
                f"is a JSON {_json_type(point)}, not an object",
                where=where,
                mend='give {"point": [x, y, z], "name": ...}',
            )
        kind = kind_of(point.get("name"))
        if kind is None:
            raise InputError(
                f"has the name {shown(point.get('name'))}", where=where, mend='name it "tumor" or "background"'
            )
        scribble = point.get("scribble")
        if scribble is not None and (isinstance(scribble, bool) or not isinstance(scribble, int)):
            raise InputError(
                f"has the scribble {shown(scribble)}",
                where=where,
                mend="number the scribbles 1, 2, ..., or leave it out",
            )
        yield FilePoint(kind, voxel_of(point.get("point"), f"{where} ({kind})", shape), scribble)


def _plain_points(document: dict, path: object, shape) -> Iterator[FilePoint]:
    for name, points in document.items():
        kind = kind_of(name)
        if kind is None:
            raise InputError(f"has the key {shown(name)}", where=path, mend='its keys are "tumor" and "background"')
        if not isinstance(points, list):
            raise InputError(
                f"{shown(name)} is not a list", where=path, mend=f'write "{kind}": [] where there are none'
            )
        for number, point in enumerate(points, start=1):
            yield FilePoint(kind, voxel_of(point, f"{path}: {kind} point {number}", shape))


def _json_type(value: object) -> str:
    return {list: "list", str: "text", bool: "true or false", type(None): "null"}.get(type(value), "number")
