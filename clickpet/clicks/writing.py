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
            position_mm = (LPS_TO_RAS @ affine @ np.array([*voxel, 1.0]))[:3]
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
