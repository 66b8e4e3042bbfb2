"""Clicks: where a reader said "tumour" or "background". Reading, writing and simulating them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.files import write_json, write_text

#: Background uptake is what lies above this percentile of all voxels outside lesions (official simulation).
UPTAKE_PERCENTILE = 99.75
KINDS = ("tumor", "background")
_NAMES = {"tumor": "tumor", "tumour": "tumor", "background": "background"}
_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True, eq=False)
class Clicks:
    """Tumour and background clicks of one study, in the order in which they were made.

    tumor : int64 (n, 3);  background : int64 (m, 3); voxel indices x, y, z. A voxel may occur twice.
    """

    tumor: np.ndarray
    background: np.ndarray

    def __post_init__(self):
        for kind in KINDS:
            points = np.asarray(getattr(self, kind), dtype=np.int64).reshape(-1, 3)
            object.__setattr__(self, kind, points)

    @classmethod
    def empty(cls) -> Clicks:
        """No clicks at all."""
        return cls(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64))

    def first(self, k: int) -> Clicks:
        """The first `k` tumour and the first `k` background clicks: step k of the interactive evaluation."""
        if k < 0:
            raise ValueError(f"a number of clicks cannot be negative: {k}")
        return Clicks(self.tumor[:k], self.background[:k])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clicks):
            return NotImplemented
        return np.array_equal(self.tumor, other.tumor) and np.array_equal(self.background, other.background)

    __hash__ = None


# --- reading -----------------------------------------------------------------------------------------------


def read_clicks(
    path: str | Path, *, shape: tuple[int, int, int], affine: np.ndarray, missing_ok: bool = False
) -> Clicks:
    """Read the clicks of a study whose PET has the grid (`shape`, `affine`).

    Formats, told apart by their content:

    - Grand Challenge JSON, type "Multiple points" or "Point": voxel indices x, y, z, name tumor or background;
    - the plain variant ``{"tumor": [[x, y, z], ...], "background": [...]}``: voxel indices x, y, z;
    - 3D Slicer Markups (.mrk.json): millimetres, LPS unless the file says RAS; each point goes to the nearest
      voxel. The label of a point ("tumor-1"), else the name of its list, else the name of the file
      ("tumor.mrk.json") says what it is. A folder stands for all .mrk.json files in it.

    A file without content (zero bytes) or without points gives no clicks, and so does a missing file
    with `missing_ok`. A voxel that was clicked twice stays twice.

    Raises InputError (one line: file, number of the point, mend) for a missing or unreadable file, an
    unknown format or name, coordinates that are not whole numbers (12.0 is), and points outside the grid.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, shape, affine)
    if not path.exists():
        if missing_ok:
            return Clicks.empty()
        raise InputError("no such file", where=path, mend="correct the path, or leave it empty for no clicks")
    document = _load(path)
    found: dict[str, list] = {kind: [] for kind in KINDS}
    for kind, voxel in _points(document, path, tuple(shape), affine):
        found[kind].append(voxel)
    return Clicks(found["tumor"], found["background"])


def _read_folder(folder: Path, shape, affine) -> Clicks:
    files = sorted(folder.glob("*.mrk.json"))
    if not files:
        raise InputError(
            "no .mrk.json file in this folder", where=folder, mend="save the point lists of 3D Slicer in it"
        )
    parts = [read_clicks(file, shape=shape, affine=affine) for file in files]
    return Clicks(np.concatenate([part.tumor for part in parts]), np.concatenate([part.background for part in parts]))


def _load(path: Path) -> object:
    """The JSON document in `path`; an empty object if the file has no content."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if text.strip() else {}
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, mend="check the file") from error
    except UnicodeDecodeError as error:
        raise InputError("is not a text file", where=path, mend="give the clicks as JSON") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", where=path, mend="export the clicks again") from error


def _points(document: object, path: Path, shape, affine) -> Iterator[tuple[str, list[int]]]:
    """Give (kind, voxel) of every point of `document`, checked."""
    if not isinstance(document, dict):
        raise InputError(
            f"holds a JSON {_json_type(document)}, not an object",
            where=path,
            mend="give Grand Challenge points, tumor and background lists, or 3D Slicer Markups",
        )
    if "markups" in document:
        return _slicer_points(document, path, shape, affine)
    if "points" in document or "point" in document or "type" in document:
        return _challenge_points(document, path, shape)
    return _plain_points(document, path, shape)


def _challenge_points(document: dict, path: Path, shape) -> Iterator[tuple[str, list[int]]]:
    kind_of_file = document.get("type", "Multiple points" if "points" in document else "Point")
    if kind_of_file not in ("Multiple points", "Point"):
        raise InputError(f"is of type {kind_of_file!r}", where=path, mend='the type of clicks is "Multiple points"')
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
        kind = _kind(point.get("name"))
        if kind is None:
            raise InputError(f"has the name {point.get('name')!r}", where=where, mend='name it "tumor" or "background"')
        yield kind, _voxel(point.get("point"), f"{where} ({kind})", shape)


def _plain_points(document: dict, path: Path, shape) -> Iterator[tuple[str, list[int]]]:
    for name, points in document.items():
        kind = _kind(name)
        if kind is None:
            raise InputError(f"has the key {name!r}", where=path, mend='its keys are "tumor" and "background"')
        if not isinstance(points, list):
            raise InputError(f"{name!r} is not a list", where=path, mend=f'write "{kind}": [] where there are none')
        for number, point in enumerate(points, start=1):
            yield kind, _voxel(point, f"{path}: {kind} point {number}", shape)


def _slicer_points(document: dict, path: Path, shape, affine) -> Iterator[tuple[str, list[int]]]:
    to_voxel = np.linalg.inv(affine)
    number = 0
    for markup in _list_of_objects(document["markups"], "markups", path):
        system = str(markup.get("coordinateSystem", "LPS"))
        if system not in ("LPS", "RAS"):
            raise InputError(f"has the coordinate system {system!r}", where=path, mend="save the list as LPS or RAS")
        units = markup.get("coordinateUnits", "mm")
        if units not in ("mm", ["mm", "mm", "mm"]):
            raise InputError(f"has coordinates in {units!r}", where=path, mend="save the list in mm")
        world_ras = np.eye(4) if system == "RAS" else _LPS_RAS
        for point in _list_of_objects(markup.get("controlPoints", []), "controlPoints", path):
            number += 1
            if point.get("positionStatus", "defined") != "defined":
                continue  # listed in 3D Slicer, but never placed
            where = f"{path}: point {number}"
            names = (point.get("label"), markup.get("name"), path.name.removesuffix(".mrk.json").removesuffix(".json"))
            kind = next((kind for kind in map(_kind, names) if kind), None)
            if kind is None:
                raise InputError(
                    f"has the label {point.get('label')!r}",
                    where=where,
                    mend='label the points "tumor-1", "background-1", ... or name their list (and file) so',
                )
            where += f" ({kind})"
            position_mm = _three_numbers(point.get("position"), where)
            position_vox = (to_voxel @ world_ras @ np.array([*position_mm, 1.0]))[:3]
            voxel = [math.floor(coordinate + 0.5) for coordinate in position_vox.tolist()]
            if not _inside(voxel, shape):
                raise InputError(
                    f"at {position_mm} mm {system} is voxel {voxel}, outside the grid {_size(shape)}",
                    where=where,
                    mend="place it inside the PET, or check that the list belongs to this study",
                )
            yield kind, voxel


def _list_of_objects(value: object, name: str, path: Path) -> list[dict]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(
            f"{name!r} is not a list of objects", where=path, mend="save the point list from 3D Slicer again"
        )
    return value


def _kind(name: object) -> str | None:
    """The kind of click that a name or a numbered label ("Tumor-3", "background_1") says, None if none."""
    if not isinstance(name, str):
        return None
    return _NAMES.get(re.sub(r"[\s_.-]*\d*$", "", name.strip().lower()))


def _voxel(point: object, where: str, shape) -> list[int]:
    """`point` as voxel indices, checked against the grid."""
    voxel = _three_numbers(point, where)
    if any(coordinate != math.floor(coordinate) for coordinate in voxel):
        raise InputError(
            f"{voxel} is not a voxel",
            where=where,
            mend="give whole voxel indices x, y, z (12 or 12.0), not millimetres",
        )
    voxel = [int(coordinate) for coordinate in voxel]
    if not _inside(voxel, shape):
        turned = " (turned round it would fit: is it z, y, x?)" if _inside(voxel[::-1], shape) else ""
        raise InputError(
            f"{voxel} is outside the grid {_size(shape)}{turned}",
            where=where,
            mend="give voxel indices in the order x, y, z, from 0",
        )
    return voxel


def _three_numbers(point: object, where: str) -> list[float]:
    numbers = isinstance(point, list) and all(isinstance(item, int | float) for item in point)
    if not numbers or any(isinstance(item, bool) for item in point) or len(point) != 3:
        raise InputError(f"has the coordinates {json.dumps(point)}", where=where, mend="give three numbers x, y, z")
    if not all(abs(item) < 2**53 for item in point):  # not true for nan either
        raise InputError(f"has the coordinates {point}", where=where, mend="give three finite numbers x, y, z")
    return point


def _inside(voxel: list[int], shape) -> bool:
    return all(0 <= coordinate < length for coordinate, length in zip(voxel, shape, strict=True))


def _size(shape) -> str:
    return "x".join(str(length) for length in shape)


def _json_type(value: object) -> str:
    return {list: "list", str: "text", bool: "true or false", type(None): "null"}.get(type(value), "number")


# --- writing -----------------------------------------------------------------------------------------------


def write_clicks(path: str | Path, clicks: Clicks) -> None:
    """Write `clicks` as Grand Challenge JSON ("Multiple points"), one point a line, tumour clicks first."""
    points = [json.dumps({"point": voxel, "name": kind}) for kind in KINDS for voxel in getattr(clicks, kind).tolist()]
    listed = "".join(f"\n  {point}," for point in points).removesuffix(",")
    listed += "\n" if points else ""
    head = '"version": {"major": 1, "minor": 0},\n "type": "Multiple points"'
    write_text(path, f'{{{head},\n "points": [{listed}]}}\n')


def write_markups(path: str | Path, clicks: Clicks, affine: np.ndarray) -> None:
    """Write `clicks` as one 3D Slicer point list (.mrk.json): mm, LPS, labels "tumor-1", "background-1", ...

    affine : (4, 4), voxel index to RAS+ mm, of the PET on which the clicks were made.
    """
    points = []
    for kind in KINDS:
        for number, voxel in enumerate(getattr(clicks, kind).tolist(), start=1):
            position_mm = (_LPS_RAS @ affine @ np.array([*voxel, 1.0]))[:3]
            points.append(
                {
                    "id": str(len(points) + 1),
                    "label": f"{kind}-{number}",
                    "position": np.round(position_mm, 6).tolist(),
                    "positionStatus": "defined",
                }
            )
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    write_json(path, {"@schema": _MARKUPS_SCHEMA, "markups": [markup]})


# --- simulating --------------------------------------------------------------------------------------------


def simulate_clicks(
    truth: np.ndarray, suv: np.ndarray, *, budget: int = 10, seed: int = 42, offset_vox: int = 0
) -> Clicks:
    """Make clicks from the ground truth by the official protocol of autoPET IV.

    truth : (x, y, z), lesion where not 0;  suv : float (x, y, z), g/ml, finite.

    Tumour: of the 26-connected components of `truth` at most `budget` are drawn without replacement.
    Each gets one click at the voxel that is farthest from its border (Euclidean distance in voxels, the
    first such voxel in x, y, z order); then, cycling over the drawn components, random border voxels
    (smallest distance inside) until there are `budget`. Background: the same with the components of
    what lies above the 99.75th percentile of all voxels outside lesions (numpy's linear percentile),
    lesions left out. No component, no clicks. With `offset_vox` each click moves by 0..offset_vox
    along each axis and stays where it was if it would leave its mask.

    Components count in the order of their first voxel, x running fastest; random numbers are those of
    numpy's frozen `RandomState`, drawn as in the official script, so a seed gives the same clicks on
    every machine (and, but for the official script's border rule for background clicks, its clicks).
    The distance transform is taken in the bounding box plus one voxel, which changes nothing.
    """
    if truth.shape != suv.shape:
        raise InputError(f"truth is {_size(truth.shape)} but SUV is {_size(suv.shape)}", mend="give both on one grid")
    random = np.random.RandomState(seed)
    lesions = np.asfortranarray(truth != 0)
    tumor = _click_components(lesions, budget, random, offset_vox)
    uptake = _high_uptake(suv, lesions)
    return Clicks(tumor, _click_components(uptake, budget, random, offset_vox))


def _click_components(mask: np.ndarray, budget: int, random: np.random.RandomState, offset_vox: int) -> list:
    """Clicks on the components of `mask`: first centres, then border voxels."""
    import cc3d

    box = _box(mask)
    if box is None or budget <= 0:
        return []
    low = np.array([part.start for part in box])
    # as numbers: cc3d's way with bool arrays fails on volumes that are one voxel thick
    labels, count = cc3d.connected_components(
        np.asfortranarray(mask[box]).view(np.uint8), connectivity=26, return_N=True
    )
    drawn = random.choice(np.arange(1, count + 1), size=min(budget, count), replace=False)
    boxes = cc3d.statistics(labels, no_slice_conversion=True)["bounding_boxes"]

    def moved(voxel: np.ndarray) -> list[int]:
        if offset_vox > 0:
            candidate = voxel + random.randint(0, offset_vox + 1, size=3)
            if _inside(candidate.tolist(), mask.shape) and mask[tuple(candidate)]:
                voxel = candidate
        return voxel.tolist()

    clicks, borders = [], []
    for label in drawn.tolist():
        first, last = boxes[label].reshape(3, 2).T.astype(np.int64)
        first, last = np.maximum(first - 1, 0), np.minimum(last + 2, labels.shape)
        component = labels[tuple(map(slice, first, last))] == label
        distance = _distance(component)
        centre = np.unravel_index(np.argmax(distance), distance.shape)
        clicks.append(moved(centre + first + low))
        if len(drawn) < budget:
            smallest = distance[component].min()
            borders.append(np.argwhere(component & (distance == smallest)) + first + low)
    while len(clicks) < budget:
        for border in borders[: budget - len(clicks)]:
            clicks.append(moved(border[random.choice(len(border))]))
    return clicks


def _box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Bounding box of `mask` plus one voxel, cut at the grid; None if the mask is empty."""
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if hit.size == 0:
            return None
        box.append(slice(max(int(hit[0]) - 1, 0), int(hit[-1]) + 2))
    return tuple(box)


def _distance(component: np.ndarray) -> np.ndarray:
    """Euclidean distance in voxels of each voxel to the nearest one outside the component.

    What lies beyond the grid is not outside, unless the component fills the whole grid.
    """
    from scipy.ndimage import distance_transform_edt

    if component.all():
        return distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1, 1:-1]
    return distance_transform_edt(component)


def _high_uptake(suv: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Bool (x, y, z) in Fortran order: SUV above UPTAKE_PERCENTILE of the voxels outside `lesions`, and not lesion."""
    limit = _uptake_limit(suv, lesions)
    uptake = np.empty(suv.shape, bool, order="F")
    np.greater(suv, limit, out=uptake)
    return np.greater(uptake, lesions, out=uptake)


def _uptake_limit(suv: np.ndarray, lesions: np.ndarray, percentile: float = UPTAKE_PERCENTILE) -> float:
    """A number that separates the voxels outside `lesions` as their `percentile` (numpy's linear one) does.

    The percentile lies between two neighbours in the sorted list of values; "above it" and "above the
    lower neighbour" are the same voxels, and only the neighbours need to be found: a sample guesses a
    value a little below them, and the few voxels above the guess are sorted.
    """
    count = suv.size - int(np.count_nonzero(lesions))
    if count == 0:
        return math.inf
    position = (count - 1) * (percentile / 100)
    below = min(math.floor(position), count - 1)
    above = count - 1 - below  # values after the lower neighbour
    for share in (2.0 * (1 - percentile / 100), 0.1, 1.0):
        guess = _guess(suv, lesions, share)
        greater = np.sort(np.concatenate([part[keep & (part > guess)] for part, keep in _outside(suv, lesions)]))
        if greater.size > above:
            lower, upper = greater[-above - 1], greater[-max(above, 1)]
            break
        equal = sum(int(np.count_nonzero(keep & (part == guess))) for part, keep in _outside(suv, lesions))
        if greater.size + equal > above:
            lower = guess
            upper = greater[-above] if 0 < above <= greater.size else guess
            break
    else:
        return math.inf  # only reached if values are not finite
    lower, upper, part = float(lower), float(upper), position - below
    limit = lower + (upper - lower) * part if part < 0.5 else upper - (upper - lower) * (1 - part)
    return upper if limit >= upper else lower


def _guess(suv: np.ndarray, lesions: np.ndarray, share: float):
    """A value that about `share` of the voxels outside `lesions` exceed, from a sample of them."""
    if share >= 1:
        return min(part[keep].min() for part, keep in _outside(suv, lesions) if keep.any())
    step = max(1, round((suv.size / 300_000) ** (1 / 3)))
    few = (slice(None, None, step),) * 3
    sample = np.sort(suv[few][~lesions[few]])
    return sample[int((1 - share) * (sample.size - 1))] if sample.size else _guess(suv, lesions, 1.0)


def _outside(suv: np.ndarray, lesions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slabs of `suv` in the order of memory, each with a mask of its voxels outside `lesions`."""
    order = np.argsort([-abs(stride) for stride in suv.strides], kind="stable")
    suv, lesions = suv.transpose(order), lesions.transpose(order)
    thick = max(1, len(suv) * 2_000_000 // suv.size)
    for start in range(0, len(suv), thick):
        yield suv[start : start + thick], ~lesions[start : start + thick]
