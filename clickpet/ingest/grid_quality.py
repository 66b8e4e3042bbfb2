"""Quality control of grids: shapes, spacing, axes, and how much of the body PET and CT cover."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.geometry import CANONICAL, orientation, spacing_mm
from clickpet.ingest.findings import Finding

#: Parts of the PET's slices that may be without CT before that is a soft and a hard finding.
SOME_SLICES, MOST_SLICES = 0.05, 0.5


def check_shapes(ct, suv, truth, organs) -> list[Finding]:
    """Whether all volumes have the PET's shape."""
    findings = []
    for name, volume in (("ct", ct), ("truth", truth), ("organs", organs)):
        if volume is not None and volume.shape != suv.shape:
            what = f"{name} has the shape {volume.shape}, the PET {suv.shape}"
            findings.append(Finding("hard", "grid", what, None, "bring both onto the PET's grid"))
    return findings


def check_spacing(affine: np.ndarray, limits: Mapping) -> list[Finding]:
    """Voxel edges against limits["spacing_mm"]."""
    edges = spacing_mm(affine)
    low, high = limits["spacing_mm"]
    if low <= min(edges) and max(edges) <= high:
        return []
    what = f"voxels of {'x'.join(f'{edge:.3g}' for edge in edges)} mm are unusual ({low:g} to {high:g} mm)"
    return [Finding("soft", "spacing", what, max(edges), "check the header's spacing and its unit")]


def check_axes(affine: np.ndarray) -> list[Finding]:
    """Whether the slices are stored across the body, from foot to head."""
    codes = orientation(affine)
    what = f"its axes are {codes}, not {CANONICAL}: "
    mend = f"nothing where the header is right: the networks are shown it as {CANONICAL}"
    if codes[2] not in "SI":
        return [Finding("soft", "axes", f"{what}the third does not run along the body", None, mend)]
    if codes[2] == "I":
        return [Finding("soft", "axes", f"{what}slices run from head to foot", None, mend)]
    return []


def check_coverage(affine: np.ndarray, seen: Mapping, limits: Mapping) -> list[Finding]:
    """How much of the body is shown, and whether CT and PET show the same of it.

    affine : of the volumes with their third axis along the body;  seen : as `measure_voxels` gives it for these.
    """
    findings = []
    if "body_slices" not in seen:
        return findings
    edges = spacing_mm(affine)
    n_slices = len(seen["body_slices"])
    area_mm2 = seen["body_slices"] * edges[0] * edges[1]
    slices = np.flatnonzero(area_mm2 > 2000)  # more than an ankle
    extent = float((slices[-1] - slices[0] + 1) * edges[2]) if len(slices) else 0.0
    if len(slices) and extent < limits["min_extent_mm"]:
        what = f"only {extent:.0f} mm of body are shown (less than {limits['min_extent_mm']:g} mm)"
        mend = "check that no bed or series is missing; the models are trained on whole bodies"
        findings.append(Finding("soft", "coverage", what, extent, mend))
    no_ct = int(np.count_nonzero(~seen["ct_there"] & seen["suv_there"]))
    if no_ct > SOME_SLICES * n_slices and seen["ct_there"].any():
        severity = "hard" if no_ct > MOST_SLICES * n_slices else "soft"
        what = f"{no_ct} of {n_slices} PET slices have no CT"
        findings.append(
            Finding(severity, "ct_coverage", what, no_ct, "check that the CT is complete and of this study")
        )
    empty = int(np.count_nonzero(~seen["suv_there"]))
    if empty:
        what = f"{empty} of {n_slices} PET slices are all zero"
        findings.append(Finding("soft", "empty_slices", what, empty, "check that no bed or slice is missing"))
    return findings
