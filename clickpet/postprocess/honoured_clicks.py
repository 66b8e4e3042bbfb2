"""Clicks honoured: every tumour click in a lesion, no background click in one."""

from __future__ import annotations

import numpy as np

from clickpet.clicks.model import KINDS, Clicks
from clickpet.errors import InputError
from clickpet.geometry import spacing_mm, voxel_volume_ml
from clickpet.postprocess.background_cut import cut_component
from clickpet.postprocess.component_window import component_at, in_component
from clickpet.postprocess.region_growing import grow_lesion
from clickpet.postprocess.sharing_clicks import sharing_voxels, spared_peak


def honour_clicks(
    mask: np.ndarray,
    suv: np.ndarray,
    clicks: Clicks,
    affine: np.ndarray,
    *,
    grow_share: float = 0.5,
    grow_ml: float = 10.0,
) -> tuple[np.ndarray, dict]:
    """A mask in which every tumour click lies in a lesion and no background click does.

    mask : (x, y, z), non-zero is lesion, left untouched;  suv : float (x, y, z), g/ml;  clicks : clicks and scribbles,
    every point of which counts;  affine : (4, 4), voxel to RAS mm;  grow_share, grow_ml : share of the local maximum
    and largest volume of a lesion that is grown (`grow_lesion`).

    1. A voxel with clicks of both kinds contradicts itself: both are left out.
    2. A tumour click outside all lesions grows one (`grow_lesion`), which may touch and thus join others.
    3. A background click in a lesion (18-connected component) removes it; if tumour clicks share it (they lie in it, or
       it encloses them: `sharing_voxels`), it is cut between them (`cut_component`). Without any, a peak of uptake
       that the background clicks in the lesion do not come near counts as one (`spared_peak`).
    Lesions that no click speaks against are left alone, and a second time changes nothing.

    Returns (mask, record): bool (x, y, z), and {"contradictions": voxels, "grown": [{"click", "ml"}], "removed" and
    "cut": [{"click", "ml"}]}, the ml that came or went and the click that did it. Work is done in windows around the
    clicks; where there is nothing to do a bool `mask` itself comes back. Raises InputError for shapes that differ and
    for a click outside the grid.
    """
    if mask.shape != suv.shape:
        raise InputError(f"mask {mask.shape} and SUV {suv.shape} differ in shape", mend="bring both to one grid")
    for kind in KINDS:
        points = getattr(clicks, kind)
        if ((points < 0) | (points >= mask.shape)).any():
            raise InputError(f"a {kind} click is outside the grid {mask.shape}", mend="give clicks of this study")
    tumor, background, contradictions = _without_contradictions(clicks)
    record = {"contradictions": contradictions, "grown": [], "removed": [], "cut": []}
    wrong = not _at(mask, tumor).all() or _at(mask, background).any()
    if not wrong:
        return mask if mask.dtype == bool else mask != 0, record
    kept = mask != 0
    edges, ml = np.array(spacing_mm(affine)), voxel_volume_ml(affine)
    for click in tumor:
        if kept[tuple(click)]:
            continue
        window, region = grow_lesion(suv, click, background, affine, share=grow_share, limit_ml=grow_ml)
        region &= ~kept[window]
        kept[window] |= region
        record["grown"].append({"click": click.tolist(), "ml": int(region.sum()) * ml})
    for click in background:
        if not kept[tuple(click)]:
            continue
        window, member = component_at(kept, click.tolist())
        against = background[in_component(window, member, background)]
        sharing = sharing_voxels(window, member, tumor, background, edges)
        if not len(sharing):
            sharing = spared_peak(suv, window, member, against)
        what = "cut" if len(sharing) else "removed"
        goes = cut_component(suv, window, member, sharing, against, affine) if len(sharing) else member
        kept[window] &= ~goes
        record[what].append({"click": click.tolist(), "ml": int(goes.sum()) * ml})
    return kept, record


def _without_contradictions(clicks: Clicks) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Tumour and background points (n, 3) each once and in their order, and the voxels that are both, in neither."""
    points = {kind: list(dict.fromkeys(map(tuple, getattr(clicks, kind).tolist()))) for kind in KINDS}
    both = set(points["tumor"]) & set(points["background"])
    left = (np.array([one for one in points[kind] if one not in both], np.int64).reshape(-1, 3) for kind in KINDS)
    return *left, [list(voxel) for voxel in sorted(both)]


def _at(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where points lie in `mask`: bool (n,)."""
    return mask[tuple(points.T)] != 0
