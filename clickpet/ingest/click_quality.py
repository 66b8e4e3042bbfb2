"""Quality control of clicks: inside the grid, and on the lesions where they say so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.ingest.findings import Finding


def check_clicks(clicks: Mapping, truth, shape, limits: Mapping) -> list[Finding]:
    """Clicks {"tumor" | "background": [[x, y, z]]} against the grid and, where there is one, the truth (x, y, z)."""
    findings = []
    points = {kind: np.asarray(clicks.get(kind, ()), dtype=float).reshape(-1, 3) for kind in ("tumor", "background")}
    inside = {}
    for kind, at in points.items():
        voxel = np.rint(at).astype(int)
        fits = np.all((voxel >= 0) & (voxel < np.array(shape)), axis=1)
        inside[kind] = voxel[fits]
        if not fits.all():
            what = f"{np.count_nonzero(~fits)} of {len(at)} {kind} clicks are outside the grid {tuple(shape)}"
            mend = "give voxel indices x, y, z of this study" + (
                " (they fit as z, y, x)" if np.all(voxel[:, ::-1] < np.array(shape)) else ""
            )
            findings.append(Finding("hard", "click_outside", what, int(np.count_nonzero(~fits)), mend))
    if truth is None or findings:
        return findings
    on_truth = {kind: truth[tuple(voxel.T)] > 0 for kind, voxel in inside.items()}
    lesions = bool(truth.any())
    tumour, background = on_truth["tumor"], on_truth["background"]
    for kind, wrong, what in (
        ("tumor", ~tumour, "tumour clicks are not on a lesion"),
        ("background", background, "background clicks are on a lesion"),
    ):
        misses = int(np.count_nonzero(wrong))
        if not misses or misses <= limits["click_miss_share"] * len(wrong):
            continue
        severity = "hard" if kind == "tumor" and misses == len(wrong) >= 5 and lesions else "soft"
        mend = "check that the clicks belong to this study and are voxel indices x, y, z"
        findings.append(Finding(severity, "click_misplaced", f"{misses} of {len(wrong)} {what}", misses, mend))
    if lesions and not len(tumour) and len(background):
        what = "a study with lesions has background clicks but no tumour click"
        findings.append(Finding("soft", "click_count", what, 0, "check that the clicks belong to this study"))
    return findings
