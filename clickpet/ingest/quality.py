"""Quality control of a study before training and before it is segmented.

`check_study` looks at the arrays of one study, `check_files` at the files of a case. A "hard" finding means that the
study cannot be what it should be and stops the run; a "soft" one is listed for a person to look at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clickpet.files import read_json
from clickpet.geometry import Turn, orientation
from clickpet.images import read_image
from clickpet.ingest.click_quality import check_clicks
from clickpet.ingest.findings import Finding, as_record, in_order
from clickpet.ingest.grid_quality import check_axes, check_coverage, check_shapes, check_spacing
from clickpet.ingest.lesion_quality import check_lesions, check_liver
from clickpet.ingest.thresholds import THRESHOLDS
from clickpet.ingest.value_quality import check_values
from clickpet.ingest.voxel_statistics import measure_voxels


def check_study(
    *,
    ct: np.ndarray,
    suv: np.ndarray,
    affine: np.ndarray,
    truth: np.ndarray | None = None,
    organs: np.ndarray | None = None,
    clicks: Mapping[str, Sequence[Sequence[float]]] | None = None,
    liver: int | None = None,
    tracer: str = "",
    thresholds: Mapping | None = None,
) -> list[Finding]:
    """Look at one study on one grid, and return what is wrong with it, worst first.

    ct : HU;  suv : g/ml;  truth : 0 or 1, None where there is no truth;  organs : label map whose label `liver` is
    the liver;  all (x, y, z);  affine : (4, 4), voxel to RAS+ mm;  clicks : {"tumor" | "background": [[x, y, z]]}
    in voxels;  tracer : "fdg", "psma" or "" (liver level is then checked against both);  thresholds : what differs
    from THRESHOLDS.

    The volumes are read once in slabs: for 52 million voxels about 3 s and 100 MB beyond the volumes themselves.
    """
    limits = {**THRESHOLDS, **(thresholds or {})}
    findings = check_shapes(ct, suv, truth, organs)
    if findings:
        return findings
    turn = Turn.between(affine)
    seen = measure_voxels(ct=turn.array(ct), suv=turn.array(suv))
    findings += check_spacing(affine, limits) + check_axes(affine)
    findings += check_coverage(turn.affine(suv.shape, affine), seen, limits)
    findings += check_values(suv, seen, limits)
    if truth is not None:
        findings += check_lesions(truth, ct, suv, affine, limits)
    if organs is not None and liver is not None:
        findings += check_liver(suv=suv, liver=organs == liver, affine=affine, tracer=tracer, thresholds=limits)
    if clicks is not None:
        findings += check_clicks(clicks, truth, suv.shape, limits)
    return in_order(findings)


def check_files(
    case: str,
    slug: str,
    *,
    ct: str | Path,
    suv: str | Path,
    truth: str | Path | None = None,
    organs: str | Path | None = None,
    clicks: str | Path | None = None,
    records: Sequence[str | Path] = (),
    tracer: str = "",
    thresholds: Mapping | None = None,
) -> dict:
    """`check_study` on the files of a case in our organ numbers and click format; returns `as_record`.

    records : case.json and truth.json, whose "warnings" become soft findings.
    """
    from clickpet.clicks.reading import read_clicks
    from clickpet.organs.labels import ORGANS

    pet = read_image(suv, np.float32)
    found = read_clicks(clicks, shape=pet.shape, affine=pet.affine) if clicks else None
    findings = check_study(
        ct=read_image(ct, np.float32).array,
        suv=pet.array,
        affine=pet.affine,
        truth=read_image(truth).array if truth else None,
        organs=read_image(organs).array if organs else None,
        liver=ORGANS["liver"],
        clicks={"tumor": found.tumor, "background": found.background} if found else None,
        tracer=tracer,
        thresholds=thresholds,
    )
    findings += [finding for record in records for finding in warnings_in(read_json(record))]
    return as_record(case, slug, in_order(findings), orientation=orientation(pet.affine), scan=_scan_hash(pet.array))


def _scan_hash(suv: np.ndarray) -> str:
    """What two PETs with the same voxels share; every fourth slice tells scans apart as well as all of them."""
    slices = np.ascontiguousarray(suv.T[::4])
    return hashlib.blake2b(slices, digest_size=8, key=str(suv.shape).encode()).hexdigest()


def warnings_in(record: Mapping) -> list[Finding]:
    """What the reading of PET, CT and label told in their records, as soft findings."""
    return [
        Finding("soft", "header", f"{name}: {text}", None, "check the header, or how the file was made")
        for name, key in (("PET", "suv"), ("CT", "ct"), ("label", "label"))
        for text in (record.get(key) or {}).get("warnings") or ()
    ]
