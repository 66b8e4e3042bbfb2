"""Quality control of a study before training: what would waste a week of GPU time if it were found after it.

`check_study` looks at one study, `rank_findings` puts those of a cohort in order. A "hard" finding means that the
study cannot be what it should be and stops the run; a "soft" one is listed for a person to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from clickpet.errors import InputError
from clickpet.images import read_image
from clickpet.images import spacing_mm as spacing_of

#: Defaults of the config section `quality`. Pairs are the lowest and highest value that raise no finding.
THRESHOLDS = {
    "spacing_mm": (0.5, 8.0),  # edges of a voxel
    "min_extent_mm": 700.0,  # of the body along z: skull base to thigh is about 900
    "suv_max": (1.0, 1000.0),  # g/ml, highest voxel: soft
    "suv_max_hard": (0.2, 5000.0),  # g/ml: hard; counts and Bq/ml are above, activity fractions below
    "body_suv_mean": (0.2, 3.0),  # g/ml: an SUV is normalised so that the mean of a whole body is about 1
    "liver_suv_mean": {"fdg": (1.0, 4.0), "psma": (1.5, 25.0)},  # g/ml; 18F-PSMA-1007 is excreted by the liver
    "max_lesions": 500,
    "max_lesion_ml": 5000.0,  # of all lesions together
    "faint_lesion_suv": 1.5,  # g/ml: lesions whose highest voxel is below
    "lesion_air_share": (0.1, 0.5),  # of the lesion voxels in air: soft, hard
    "click_miss_share": 0.2,  # of the tumour clicks off the truth, or background clicks on it
}
#: What findings are about, worst first; `rank_findings` sorts by this order within hard and soft.
CODES = (
    "grid", "not_finite", "swapped", "ct_empty", "not_hu", "not_suv", "counts", "suv_range", "suv_level", "liver_level",
    "truth_values", "lesion_in_air", "ct_misplaced", "click_outside", "click_misplaced", "axes", "orientation",
    "spacing", "coverage", "ct_coverage", "empty_slices", "liver_volume", "hu_range", "lesion_faint", "lesion_count",
    "lesion_volume", "click_count",
)  # fmt: skip

AIR_HU = -900.0  # air around the patient is below, lungs are above
BODY_HU = -500.0
BONE_HU = 300.0
HOT_SUV = 2.0
SLAB_VOXELS = 4_000_000  # voxels that are looked at together, so that no mask of the whole volume is made
LIVER_ML = (300.0, 5000.0)
#: Whether values are whole numbers is asked of every 7th voxel along each axis.
SUBSAMPLE = 7


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a study.

    severity : "hard" (stops the run) or "soft";  code : one of CODES;  what : a sentence;  value : the number
    behind it, None where there is none;  mend : what to do.
    """

    severity: str
    code: str
    what: str
    value: float | None = None
    mend: str = ""


def check_study(
    suv: np.ndarray,
    ct: np.ndarray,
    affine: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    organs: np.ndarray | None = None,
    clicks: Mapping[str, Sequence[Sequence[float]]] | None = None,
    liver: int | None = None,
    tracer: str = "",
    thresholds: Mapping | None = None,
) -> list[Finding]:
    """Look at one study on one grid, and return what is wrong with it, worst first.

    suv : g/ml;  ct : HU;  truth : 0 or 1, None where there is no truth;  organs : label map whose label `liver` is
    the liver;  all (x, y, z);  affine : (4, 4), voxel to RAS+ mm;  clicks : {"tumor" | "background": [[x, y, z]]}
    in voxels;  tracer : "fdg", "psma" or "" (liver level is then checked against both);  thresholds : what differs
    from THRESHOLDS.

    The volumes are read once in slabs: for 52 million voxels about 3 s and 100 MB beyond the volumes themselves.
    """
    limits = {**THRESHOLDS, **(thresholds or {})}
    findings = _check_grids(suv, ct, truth, organs)
    if findings:
        return findings
    seen = _measure(suv, ct)
    findings += _check_geometry(suv.shape, affine, seen, limits)
    findings += _check_values(suv, seen, limits)
    if truth is not None:
        findings += _check_lesions(truth, suv, ct, affine, limits)
    if organs is not None and liver is not None:
        findings += check_liver(suv, organs == liver, affine, tracer, limits)
    if clicks is not None:
        findings += _check_clicks(clicks, truth, suv.shape, limits)
    return _in_order(findings)


def as_record(case: str, slug: str, findings: Sequence[Finding], *, orientation: str = "") -> dict:
    """The findings of a study as it is kept in `quality.json`."""
    hard = sum(finding.severity == "hard" for finding in findings)
    return {
        "case": case,
        "slug": slug,
        "orientation": orientation,
        "hard": hard,
        "soft": len(findings) - hard,
        "findings": [asdict(finding) for finding in findings],
    }


def check_files(
    case: str,
    slug: str,
    *,
    suv: str | Path,
    ct: str | Path,
    truth: str | Path | None = None,
    organs: str | Path | None = None,
    clicks: str | Path | None = None,
    tracer: str = "",
    thresholds: Mapping | None = None,
) -> dict:
    """`check_study` on the files of a case in our organ numbers and click format; returns `as_record`."""
    from clickpet.clicks.reading import read_clicks
    from clickpet.organs.labels import ORGANS

    pet = read_image(suv, np.float32)
    found = read_clicks(clicks, shape=pet.shape, affine=pet.affine) if clicks else None
    findings = check_study(
        pet.array,
        read_image(ct, np.float32).array,
        pet.affine,
        truth=read_image(truth).array if truth else None,
        organs=read_image(organs).array if organs else None,
        liver=ORGANS["liver"],
        clicks={"tumor": found.tumor, "background": found.background} if found else None,
        tracer=tracer,
        thresholds=thresholds,
    )
    return as_record(case, slug, findings, orientation="".join(nib.aff2axcodes(pet.affine)))


def rank_findings(records: Sequence[Mapping]) -> list[dict]:
    """All findings of a cohort as rows of the table, worst first: hard before soft, then by CODES, then by name.

    records : as `as_record` gives them. An orientation that differs from that of most of the cohort is added as a
    soft finding: the networks see axes, not anatomy.
    """
    rows = [
        {"severity": found["severity"], "code": found["code"], "case": record["case"], "slug": record["slug"],
         "what": found["what"], "value": found["value"], "mend": found["mend"]}
        for record in records
        for found in [*record["findings"], *_odd_orientation(record, records)]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["severity"] != "hard", CODES.index(row["code"]), row["case"]))


def findings_table(rows: Sequence[Mapping]) -> str:
    """`quality.tsv`: the rows of `rank_findings`, tab-separated; a header alone where nothing was found."""
    names = ("severity", "code", "case", "slug", "what", "value", "mend")
    lines = ["\t".join(names)]
    for row in rows:
        value = "" if row["value"] is None else f"{row['value']:.6g}"
        lines.append("\t".join(str({**row, "value": value}[name]) for name in names))
    return "\n".join(lines) + "\n"


def require_sound(rows: Sequence[Mapping], *, where: object = None) -> None:
    """Raise InputError that names the hard findings among `rows`, if there are any."""
    hard = [row for row in rows if row["severity"] == "hard"]
    if hard:
        some = " | ".join(f"{row['case']}: {row['what']}" for row in hard[:5])
        more = f" (and {len(hard) - 5} more)" if len(hard) > 5 else ""
        raise InputError(
            f"{len(hard)} hard findings: {some}{more}",
            where=where,
            mend="mend these studies or take them out of the cohort table",
        )


def _in_order(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (found.severity != "hard", CODES.index(found.code)))


def _odd_orientation(record: Mapping, records: Sequence[Mapping]) -> list[dict]:
    counts = Counter(other["orientation"] for other in records if other["orientation"])
    if not record["orientation"] or not counts:
        return []
    usual, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    if record["orientation"] == usual or count <= len(records) / 2:
        return []
    what = f"its axes are {record['orientation']}, those of {count} others {usual}"
    return [asdict(Finding("soft", "orientation", what, None, f"store it as {usual}, as the others are"))]


def _check_grids(suv, ct, truth, organs) -> list[Finding]:
    findings = []
    for name, volume in (("ct", ct), ("truth", truth), ("organs", organs)):
        if volume is not None and volume.shape != suv.shape:
            what = f"{name} has the shape {volume.shape}, the PET {suv.shape}"
            findings.append(Finding("hard", "grid", what, None, "bring both onto the PET's grid"))
    return findings


def _measure(suv: np.ndarray, ct: np.ndarray) -> dict:
    """Everything that needs each voxel of PET and CT, in one pass over slabs along z."""
    depth = max(1, SLAB_VOXELS // max(1, suv.shape[0] * suv.shape[1]))
    bins = np.zeros(600, dtype=np.int64)  # CT in steps of 10 HU from -1500
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
        bins += np.bincount(np.clip((c + 1500) / 10, 0, 599).astype(np.uint16).ravel("K"), minlength=600)
        body_voxels.append(body.sum(axis=(0, 1)))
        ct_there.append((c.max(axis=(0, 1)) - c.min(axis=(0, 1))) > 0)
        suv_there.append(s.any(axis=(0, 1)))
    seen["body_slices"] = np.concatenate(body_voxels)
    seen["body"] = int(seen["body_slices"].sum())
    seen["ct_there"], seen["suv_there"] = np.concatenate(ct_there), np.concatenate(suv_there)
    tissue = bins.copy()
    tissue[: int((BODY_HU + 1500) / 10)] = 0
    seen["tissue_hu"] = float(np.searchsorted(tissue.cumsum(), tissue.sum() / 2) * 10 - 1495) if tissue.any() else None
    return seen


def _check_geometry(shape, affine: np.ndarray, seen: dict, limits: Mapping) -> list[Finding]:
    findings = []
    edges = spacing_of(affine)
    low, high = limits["spacing_mm"]
    if min(edges) < low or max(edges) > high:
        what = f"voxels of {'x'.join(f'{edge:.3g}' for edge in edges)} mm are unusual ({low:g} to {high:g} mm)"
        findings.append(Finding("soft", "spacing", what, max(edges), "check the header's spacing and its unit"))
    directions = affine[:3, :3] / np.array(edges)
    if np.argmax(np.abs(directions[2])) != 2:
        what = "its third axis does not run along the body"
        findings.append(Finding("soft", "axes", what, None, "store it in axial slices (LAS or RAS)"))
    elif directions[2, 2] < 0:
        what = "its slices run from head to foot"
        findings.append(Finding("soft", "axes", what, None, "store it from foot to head (LAS or RAS)"))
    if "body_slices" not in seen:
        return findings
    area_mm2 = seen["body_slices"] * edges[0] * edges[1]
    slices = np.flatnonzero(area_mm2 > 2000)  # more than an ankle
    extent = float((slices[-1] - slices[0] + 1) * edges[2]) if len(slices) else 0.0
    if len(slices) and extent < limits["min_extent_mm"]:
        what = f"only {extent:.0f} mm of body are shown (less than {limits['min_extent_mm']:g} mm)"
        mend = "check that no bed or series is missing; the models are trained on whole bodies"
        findings.append(Finding("soft", "coverage", what, extent, mend))
    no_ct = int(np.count_nonzero(~seen["ct_there"] & seen["suv_there"]))
    if no_ct > 0.05 * shape[2] and seen["ct_there"].any():
        what = f"{no_ct} of {shape[2]} PET slices have no CT"
        findings.append(Finding("soft", "ct_coverage", what, no_ct, "check that the CT is complete and of this study"))
    empty = int(np.count_nonzero(~seen["suv_there"]))
    if empty:
        what = f"{empty} of {shape[2]} PET slices are all zero"
        findings.append(Finding("soft", "empty_slices", what, empty, "check that no bed or slice is missing"))
    return findings


def _check_values(suv: np.ndarray, seen: dict, limits: Mapping) -> list[Finding]:
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


def _check_ct(seen: dict, ct_text: str) -> list[Finding]:
    if seen["ct_min"] == seen["ct_max"] or not seen["body"]:
        mend = "check that it is the CT of this study"
        return [Finding("hard", "ct_empty", f"the CT shows no body ({ct_text})", None, mend)]
    if seen["ct_min"] > BODY_HU:
        offset = -100 <= seen["ct_min"] <= 24 and seen["ct_max"] > 1000
        mend = "subtract 1024 or convert it with its rescale intercept" if offset else "give the CT in HU"
        return [Finding("hard", "not_hu", f"the CT holds no air ({ct_text})", seen["ct_min"], mend)]
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


def _check_suv(suv: np.ndarray, seen: dict, suv_text: str, limits: Mapping) -> list[Finding]:
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
        if not low <= level <= high:
            what = f"the mean SUV of the body is {level:.3g} (usual: {low:g} to {high:g})"
            mend = "check weight, dose and decay correction"
            findings.append(Finding("soft", "suv_level", what, level, mend))
        if seen["hot"] and seen["hot_in_air"] > 0.2 * seen["hot"]:
            share = seen["hot_in_air"] / seen["hot"]
            what = f"{share:.0%} of the uptake above SUV {HOT_SUV:g} lies in air"
            mend = "check that the CT is of this study and that both have the right origin"
            findings.append(Finding("soft", "ct_misplaced", what, share, mend))
    return findings


def _check_lesions(truth, suv, ct, affine: np.ndarray, limits: Mapping) -> list[Finding]:
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
    volume = len(of) * float(np.prod(spacing_of(affine))) / 1000
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
    suv: np.ndarray, liver: np.ndarray, affine: np.ndarray, tracer: str = "", thresholds: Mapping | None = None
) -> list[Finding]:
    """Volume of the liver and its mean SUV against what is usual; soft findings.

    suv : g/ml;  liver : bool, both (x, y, z);  tracer, thresholds : as in `check_study`.
    """
    limits = {**THRESHOLDS, **(thresholds or {})}
    voxels = int(np.count_nonzero(liver))
    volume = voxels * float(np.prod(spacing_of(affine))) / 1000
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


def _check_clicks(clicks: Mapping, truth, shape, limits: Mapping) -> list[Finding]:
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
