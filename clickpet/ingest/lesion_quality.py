"""Quality control of lesion masks and organ maps: where they lie, how many, how large, how much uptake."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.geometry import spacing_mm
from clickpet.ingest.findings import Finding
from clickpet.ingest.thresholds import THRESHOLDS
from clickpet.ingest.voxel_statistics import AIR_HU

LIVER_ML = (300.0, 5000.0)


def check_lesions(truth, ct, suv, affine: np.ndarray, limits: Mapping) -> list[Finding]:
    """Where the lesions lie, how many, how large, how much uptake.

    truth : 0 and 1;  ct : HU;  suv : g/ml, all (x, y, z);  limits : as THRESHOLDS.
    """
    import cc3d

    if truth.max() > 1 or truth.min() < 0:
        what = f"the truth holds values from {truth.min():g} to {truth.max():g}"
        return [Finding("hard", "truth_values", what, float(truth.max()), "give a mask of 0 and 1")]
    box = _box_of(truth)
    if box is None:
        return []
    # cc3d wants a contiguous copy anyway; the box of the lesions is a small part of the body
    labels, count = cc3d.connected_components(np.asfortranarray(truth[box]), connectivity=18, return_N=True)
    at = np.nonzero(labels)
    of, suv_at, ct_at = labels[at], suv[box][at], ct[box][at]
    findings = []
    air = float(np.count_nonzero((ct_at < AIR_HU) & (suv_at < 0.5)) / len(of))
    soft, hard = limits["lesion_air_share"]
    if air > soft:
        what = f"{air:.0%} of the lesion voxels lie in air without uptake"
        mend = "check that the label belongs to this study and is not flipped"
        findings.append(Finding("hard" if air > hard else "soft", "lesion_in_air", what, air, mend))
    peak = np.full(count + 1, -np.inf)
    np.maximum.at(peak, of, suv_at)
    faint = int(np.count_nonzero(peak[1:] < limits["faint_lesion_suv"]))
    if faint:
        what = f"{faint} of {count} lesions stay below SUV {limits['faint_lesion_suv']:g}"
        findings.append(Finding("soft", "lesion_faint", what, faint, "check that the label belongs to this study"))
    if count > limits["max_lesions"]:
        what = f"{count} lesions (more than {limits['max_lesions']})"
        findings.append(Finding("soft", "lesion_count", what, count, "check the label for single voxels"))
    volume = len(of) * float(np.prod(spacing_mm(affine))) / 1000
    if volume > limits["max_lesion_ml"]:
        what = f"{volume:.0f} ml of lesions (more than {limits['max_lesion_ml']:g} ml)"
        findings.append(Finding("soft", "lesion_volume", what, volume, "check that the label is not inverted"))
    return findings


def _box_of(mask: np.ndarray) -> tuple[slice, ...] | None:
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(used):
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)


def check_liver(
    *, suv: np.ndarray, liver: np.ndarray, affine: np.ndarray, tracer: str = "", thresholds: Mapping | None = None
) -> list[Finding]:
    """Volume of the liver and its mean SUV against what is usual; soft findings.

    suv : g/ml;  liver : bool, both (x, y, z);  tracer : "fdg", "psma" or "" (either);  thresholds : what
    differs from THRESHOLDS.
    """
    limits = {**THRESHOLDS, **(thresholds or {})}
    voxels = int(np.count_nonzero(liver))
    volume = voxels * float(np.prod(spacing_mm(affine))) / 1000
    if not LIVER_ML[0] <= volume <= LIVER_ML[1]:
        what = f"the organ map shows {volume:.0f} ml of liver"
        mend = "check the organ map, or that the liver is in the field of view"
        return [Finding("soft", "liver_volume", what, volume, mend)]
    level = float(suv.sum(where=liver, dtype=np.float64) / voxels)
    ranges = [limits["liver_suv_mean"][name] for name in ([tracer] if tracer else limits["liver_suv_mean"])]
    low, high = min(pair[0] for pair in ranges), max(pair[1] for pair in ranges)
    if low <= level <= high:
        return []
    what = f"the mean SUV of the liver is {level:.3g} (usual for {tracer or 'any tracer'}: {low:g} to {high:g})"
    return [Finding("soft", "liver_level", what, level, "check weight, dose, decay correction and tracer")]
