"""Region growing from a tumour click: connected uptake above a share of the local maximum."""

from __future__ import annotations

import numpy as np

from clickpet.geometry import spacing_mm
from clickpet.postprocess.component_window import Window, connected_part
from clickpet.postprocess.nearest_click import is_nearer

#: The local maximum of a click is the highest SUV this near to it: a click at a lesion's border finds its centre.
PEAK_RADIUS_MM = 10.0


def grow_lesion(
    suv: np.ndarray, click: np.ndarray, background: np.ndarray, affine: np.ndarray, *, share: float, limit_ml: float
) -> tuple[Window, np.ndarray]:
    """The lesion that a tumour click shows: connected uptake around it.

    suv : float (x, y, z), g/ml;  click : (3,), voxel x, y, z;  background : int (n, 3), background clicks, none of them
    `click`;  affine : (4, 4), voxel to RAS mm.

    A voxel belongs to it if it is
    - at or above `share` of the local maximum, the highest SUV within PEAK_RADIUS_MM of the click, or above the click's
      own SUV where that is lower;
    - in the ball around the click whose volume is `limit_ml`;
    - nearer (mm) to the click than to every background click;
    and connected (18) to the click through such voxels. The click's own voxel always does.

    Returns (window, region): a box around the click, and bool, of the box's shape, where the lesion is.
    """
    edges = np.array(spacing_mm(affine))
    radius_mm = (limit_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    reach = np.floor(max(radius_mm, PEAK_RADIUS_MM) / edges).astype(np.int64)
    low, high = np.maximum(click - reach, 0), np.minimum(click + reach + 1, suv.shape)
    window = tuple(map(slice, low.tolist(), high.tolist()))
    uptake, centre = suv[window], tuple((click - low).tolist())
    voxels = np.moveaxis(np.indices(uptake.shape), 0, -1) + low
    away_mm = np.linalg.norm((voxels - click) * edges, axis=-1)
    own = away_mm <= max(radius_mm, PEAK_RADIUS_MM)
    own[own] = is_nearer(voxels[own], click[None], background, edges)
    peak = np.fmax.reduce(uptake[own & (away_mm <= PEAK_RADIUS_MM)])
    region = own & (away_mm <= radius_mm) & (uptake >= np.fmin(share * peak, uptake[centre]))
    region[centre] = True
    return window, connected_part(region, centre)
