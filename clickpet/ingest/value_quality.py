"""Quality control of voxel values: HU of the CT, SUV of the PET, and whether both are of one patient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.ingest.findings import Finding
from clickpet.ingest.voxel_statistics import AIR_HU, BODY_HU, BONE_HU, HOT_SUV

#: Whether values are whole numbers is asked of every 7th voxel along each axis.
SUBSAMPLE = 7
#: An SUV is normalised so that its mean in a whole body is about 1; parts of one may be some times above or below.
BODY_SUV_MEAN = (0.02, 20.0)
#: Half of the tissue with uptake is below so many HU, whatever part of a body is shown.
MOST_TISSUE_HU = 500.0
#: A larger part of the uptake than this does not lie in air, if the CT is of the patient.
MOST_IN_AIR = 0.5


def check_values(suv: np.ndarray, seen: Mapping, limits: Mapping) -> list[Finding]:
    """Whether the CT holds HU and the PET SUV.

    suv : (x, y, z), g/ml;  seen : as `measure_voxels` gives it for CT and PET.
    """
    for name in ("suv", "ct"):
        if not seen[f"{name}_finite"]:
            return [Finding("hard", "not_finite", f"{name} holds NaN or infinite values", None, "convert it again")]
    ct_text = f"CT values from {seen['ct_min']:.4g} to {seen['ct_max']:.4g}"
    suv_text = f"PET values from {seen['suv_min']:.4g} to {seen['suv_max']:.4g}"
    pet_is_hu, ct_is_hu = seen["suv_min"] < -200, seen["ct_min"] < -500
    if pet_is_hu and not ct_is_hu:
        what = f"CT and PET are swapped ({ct_text}, {suv_text})"
        return [Finding("hard", "swapped", what, seen["suv_min"], "swap ct and pet in the cohort table")]
    return [*_check_ct(seen, ct_text), *_check_suv(suv, seen, suv_text, limits)]


def _check_ct(seen: Mapping, ct_text: str) -> list[Finding]:
    if seen["ct_min"] == seen["ct_max"] or not seen["body"]:
        mend = "check that it is the CT of this study"
        return [Finding("hard", "ct_empty", f"the CT shows no body ({ct_text})", None, mend)]
    if seen["ct_min"] > BODY_HU:
        offset = -100 <= seen["ct_min"] <= 24 and seen["ct_max"] > 1000
        mend = "subtract 1024 or convert it with its rescale intercept" if offset else "give the CT in HU"
        return [Finding("hard", "not_hu", f"the CT holds no air ({ct_text})", seen["ct_min"], mend)]
    level = seen["uptake_hu"]
    if level is not None and level > MOST_TISSUE_HU:
        what = f"half of the voxels with uptake are above {level:.0f} HU ({ct_text})"
        mend = "subtract 1024 or convert it with its rescale intercept"
        return [Finding("hard", "not_hu", what, level, mend)]
    findings = []
    if not seen["air"]:
        what = f"no voxel of the CT is below {AIR_HU:g} HU ({ct_text})"
        findings.append(Finding("soft", "hu_range", what, seen["ct_min"], "check the calibration of the CT"))
    if not seen["bone"]:
        what = f"no voxel of the CT is above {BONE_HU:g} HU ({ct_text})"
        findings.append(Finding("soft", "hu_range", what, seen["ct_max"], "check that the CT is not windowed"))
    if not -250 <= seen["tissue_hu"] <= 250:
        what = f"half of the body's voxels are below {seen['tissue_hu']:.0f} HU"
        findings.append(Finding("soft", "hu_range", what, seen["tissue_hu"], "check the rescale intercept of the CT"))
    return findings


def _check_suv(suv: np.ndarray, seen: Mapping, suv_text: str, limits: Mapping) -> list[Finding]:
    highest = seen["suv_max"]
    sample = suv[::SUBSAMPLE, ::SUBSAMPLE, ::SUBSAMPLE]
    if highest > 255 and np.array_equal(sample, np.rint(sample)):
        mend = "give SUV: apply the rescale slope, weight, dose and decay, or give the DICOM"
        return [Finding("hard", "counts", f"the PET holds whole numbers ({suv_text}), not SUV", highest, mend)]
    low, high = limits["suv_max_hard"]
    if not low <= highest <= high or seen["suv_min"] < -max(1.0, 0.2 * highest):
        mend = "give the PET as SUV in g/ml, or give the DICOM"
        return [Finding("hard", "not_suv", f"{suv_text} are no SUV", highest, mend)]
    findings = []
    low, high = limits["suv_max"]
    if not low <= highest <= high:
        what = f"the highest SUV is {highest:.3g} (usual: {low:g} to {high:g})"
        findings.append(Finding("soft", "suv_range", what, highest, "check weight, dose and decay correction"))
    if seen["body"]:
        level = seen["suv_body"] / seen["body"]
        low, high = limits["body_suv_mean"]
        if not BODY_SUV_MEAN[0] <= level <= BODY_SUV_MEAN[1]:
            what = f"the mean of the body is {level:.3g}, which is no SUV in g/ml ({suv_text}): Bq/ml?"
            mend = "give SUV: activity (Bq/ml) x weight (g) / decayed dose (Bq), or give the DICOM"
            return [Finding("hard", "not_suv", what, level, mend)]
        if not low <= level <= high:
            what = f"the mean SUV of the body is {level:.3g} (usual: {low:g} to {high:g})"
            mend = "check weight, dose and decay correction"
            findings.append(Finding("soft", "suv_level", what, level, mend))
        if seen["hot"] and seen["hot_in_air"] > 0.2 * seen["hot"]:
            share = seen["hot_in_air"] / seen["hot"]
            what = f"{share:.0%} of the uptake above SUV {HOT_SUV:g} lies in air"
            mend = "check that the CT is of this study and that both have the right origin"
            severity = "hard" if share > MOST_IN_AIR else "soft"
            findings.append(Finding(severity, "ct_misplaced", what, share, mend))
    return findings
