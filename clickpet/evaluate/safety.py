"""Safety of interaction: whether clicks are honoured, and what changes far from them or for the worse."""

from __future__ import annotations

import numpy as np

from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.components import bounding_box, encode_mask
from clickpet.geometry import voxel_volume_ml

#: What changes farther than this from an interaction was not asked for.
FAR_MM = 50.0


def honoured(mask: np.ndarray, clicks: Clicks) -> dict[str, int]:
    """Points of all clicks and scribbles, and how many of them the mask honours.

    mask : (x, y, z), non-zero is lesion. Returns tumor_points, tumor_inside (in the mask), background_points,
    background_outside (not in the mask).
    """
    inside = {kind: mask[tuple(getattr(clicks, kind).T)] != 0 for kind in ("tumor", "background")}
    return {
        "tumor_points": inside["tumor"].size,
        "tumor_inside": int(inside["tumor"].sum()),
        "background_points": inside["background"].size,
        "background_outside": int((~inside["background"]).sum()),
    }


def far_change_ml(before: np.ndarray, after: np.ndarray, added: list[Interaction], affine: np.ndarray) -> float:
    """Volume that changed between two masks farther than FAR_MM from every point of the interactions in between.

    before, after : (x, y, z), non-zero is lesion;  added : what was done in between (nothing: every change is far);
    affine : (4, 4), voxel to RAS mm. Distances are those between the centres of voxels, in mm.
    """
    from scipy.spatial import cKDTree

    box = bounding_box(encode_mask(before), encode_mask(after))
    changed = np.argwhere((before[box] != 0) != (after[box] != 0)) + [part.start for part in box]
    if len(changed) and added:
        points = np.concatenate([one.points for one in added])
        distance, _ = cKDTree(points @ affine[:3, :3].T).query(
            changed @ affine[:3, :3].T, distance_upper_bound=np.nextafter(FAR_MM, np.inf)
        )
        changed = changed[distance > FAR_MM]
    return len(changed) * voxel_volume_ml(affine)


def answer_to(
    mask: np.ndarray, clicks: Clicks, added: list[Interaction], affine: np.ndarray, before: np.ndarray | None
) -> dict[str, float | int]:
    """How a model answered the interactions `added` since the mask `before` (None: there is none before).

    clicks : all so far. Returns points (added), `honoured`, changed_ml and far_changed_ml (since the mask before, of
    `far_change_ml`; NaN where there is none, and 0 far from nothing).
    """
    answer = {"points": sum(len(one.points) for one in added), **honoured(mask, clicks)}
    changed = far = float("nan")
    if before is not None:
        changed = far_change_ml(before, mask, [], affine)
        far = far_change_ml(before, mask, added, affine) if added else 0.0
    return {**answer, "changed_ml": changed, "far_changed_ml": far}


def added_clicks(clicks: Clicks, before: int, step: int) -> list[Interaction]:
    """The tumour and background interactions number `before` .. step-1: what step `step` has and step `before` not."""
    return [Interaction(kind, points) for kind in KINDS for points in clicks.of_kind(kind)[before:step]]
