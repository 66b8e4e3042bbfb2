"""Statistics of the voxels of PET and CT that the quality control asks for, in one pass over both."""

from __future__ import annotations

import numpy as np

AIR_HU = -900.0  # air around the patient is below, lungs are above
BODY_HU = -500.0
BONE_HU = 300.0
HOT_SUV = 2.0
UPTAKE_SUV = 0.5  # tissue is about 1, air around the patient about 0
SLAB_VOXELS = 4_000_000  # voxels that are looked at together, so that no mask of the whole volume is made
_LOWEST_HU, _BIN_HU, _BINS = -1500, 10, 600


def measure_voxels(*, ct: np.ndarray, suv: np.ndarray) -> dict:
    """Counts, extremes and levels of PET and CT (x, y, z) of one shape, in one pass over slabs along z.

    ct : HU;  suv : g/ml;  z runs along the body.  Returns "{ct,suv}_{min,max,finite}"; unless one is not finite also
    the numbers of voxels "air", "bone", "body", "hot", "hot_in_air", "negative", the sum "suv_body" over the body, the
    medians "tissue_hu" of the body and "uptake_hu" of voxels above UPTAKE_SUV (None where there are none), and for
    each slice "body_slices" (voxels of body), "ct_there" and "suv_there" (whether it holds anything).
    """
    depth = max(1, SLAB_VOXELS // max(1, suv.shape[0] * suv.shape[1]))
    body_bins, uptake_bins = (np.zeros(_BINS, dtype=np.int64) for _ in range(2))
    seen = dict.fromkeys(("air", "bone", "body", "hot", "hot_in_air"), 0)
    seen |= {"suv_min": np.inf, "suv_max": -np.inf, "ct_min": np.inf, "ct_max": -np.inf}
    seen |= {"suv_body": 0.0, "suv_finite": True, "ct_finite": True, "negative": 0}
    body_voxels, ct_there, suv_there = [], [], []
    for start in range(0, suv.shape[2], depth):
        s, c = (volume[:, :, start : start + depth] for volume in (suv, ct))
        for name, slab in (("suv", s), ("ct", c)):
            seen[f"{name}_finite"] &= bool(np.isfinite(slab.sum(dtype=np.float64)))
            seen[f"{name}_min"] = min(seen[f"{name}_min"], float(slab.min()))
            seen[f"{name}_max"] = max(seen[f"{name}_max"], float(slab.max()))
        if not (seen["suv_finite"] and seen["ct_finite"]):
            return seen
        body, hot, air = c > BODY_HU, s > HOT_SUV, c < AIR_HU
        seen["air"] += int(np.count_nonzero(air))
        seen["bone"] += int(np.count_nonzero(c > BONE_HU))
        seen["hot"] += int(np.count_nonzero(hot))
        seen["hot_in_air"] += int(np.count_nonzero(hot & air))
        seen["negative"] += int(np.count_nonzero(s < 0))
        seen["suv_body"] += float(s.sum(where=body, dtype=np.float64))
        bins = np.clip((c - _LOWEST_HU) / _BIN_HU, 0, _BINS - 1).astype(np.uint16)
        body_bins += np.bincount(bins.ravel("K"), minlength=_BINS)
        uptake_bins += np.bincount(bins[s > UPTAKE_SUV], minlength=_BINS)
        body_voxels.append(body.sum(axis=(0, 1)))
        ct_there.append((c.max(axis=(0, 1)) - c.min(axis=(0, 1))) > 0)
        suv_there.append(s.any(axis=(0, 1)))
    seen["body_slices"] = np.concatenate(body_voxels)
    seen["body"] = int(seen["body_slices"].sum())
    seen["ct_there"], seen["suv_there"] = np.concatenate(ct_there), np.concatenate(suv_there)
    body_bins[: int((BODY_HU - _LOWEST_HU) / _BIN_HU)] = 0
    seen["tissue_hu"], seen["uptake_hu"] = _median_hu(body_bins), _median_hu(uptake_bins)
    return seen


def _median_hu(bins: np.ndarray) -> float | None:
    """Middle of the bin that holds the median; None for an empty histogram."""
    if not bins.any():
        return None
    return float(np.searchsorted(bins.cumsum(), bins.sum() / 2) * _BIN_HU + _LOWEST_HU + _BIN_HU / 2)
