"""Writing of clicks: Grand Challenge JSON and 3D Slicer point lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clickpet.clicks.model import KINDS, Clicks
from clickpet.clicks.slicer import LPS_TO_RAS
from clickpet.files import write_json, write_text

_MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_clicks(path: str | Path, clicks: Clicks) -> None:
    """Write `clicks` as Grand Challenge JSON ("Multiple points"), one point a line.

    Clicks that are all points of their own come with the tumour clicks first, as the challenge has it. Where there are
    scribbles, or the kinds come in another order, points come in the order made and each tells under "scribble" which
    click or scribble (1, 2, ...) it is part of; other readers pass over that key.
    """
    if clicks.groups == Clicks(clicks.tumor, clicks.background).groups:
        records = [{"point": voxel, "name": kind} for kind in KINDS for voxel in getattr(clicks, kind).tolist()]
    else:
        records = [
            {"point": voxel, "name": one.kind, "scribble": number}
            for number, one in enumerate(clicks.interactions(), start=1)
            for voxel in one.points.tolist()
        ]
    points = [json.dumps(record) for record in records]
    listed = "".join(f"\n  {point}," for point in points).removesuffix(",")
    listed += "\n" if points else ""
    head = '"version": {"major": 1, "minor": 0},\n "type": "Multiple points"'
    write_text(path, f'{{{head},\n "points": [{listed}]}}\n')


def write_markups(path: str | Path, clicks: Clicks, affine: np.ndarray) -> None:
    """Write `clicks` for 3D Slicer (.mrk.json): mm, LPS, labels "tumor-1", "background-1", ...

    affine : (4, 4), voxel index to RAS+ mm, of the PET on which the clicks were made.
    One point list holds all clicks, tumour first. A scribble whose points follow each other is a curve; any other is a
    point list, and reads as clicks.
    """
    alone: dict[str, list] = {kind: [] for kind in KINDS}
    scribbles = []
    for one in clicks.interactions():
        if len(one.points) == 1:
            alone[one.kind] += one.points.tolist()
        else:
            follows = np.abs(np.diff(one.points, axis=0)).max(1) == 1
            scribbles.append(("Curve" if follows.all() else "Fiducial", {one.kind: one.points.tolist()}))
    lists = [("Fiducial", alone)] if any(alone.values()) or not scribbles else []
    markups = [_markup(kind, points, affine) for kind, points in [*lists, *scribbles]]
    write_json(path, {"@schema": _MARKUPS_SCHEMA, "markups": markups})


def _markup(markup_type: str, voxels: dict[str, list], affine: np.ndarray) -> dict:
    points = []
    for kind, of_kind in voxels.items():
        for number, voxel in enumerate(of_kind, start=1):
            position_mm = (LPS_TO_RAS @ affine @ np.array([*voxel, 1.0]))[:3]
            points.append(
                {
                    "id": str(len(points) + 1),
                    "label": f"{kind}-{number}",
                    "position": np.round(position_mm, 6).tolist(),
                    "positionStatus": "defined",
                }
            )
    return {"type": markup_type, "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
