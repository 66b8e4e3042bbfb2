"""Results of one study as DICOM objects: SEG, RTSTRUCT and SR that agree, and the identifiers for its table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clickpet.dicom.lesion_objects import LesionsOnPet
from clickpet.dicom.rtstruct_export import write_rtstruct
from clickpet.dicom.seg_export import write_seg
from clickpet.dicom.sr_export import write_sr
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_study, number_lesions
from clickpet.ingest.study import holds_dicom

#: What a mask is written as, and what its file's name ends in.
KINDS = {"seg": "_seg.dcm", "rtstruct": "_rtstruct.dcm", "sr": "_sr.dcm"}
#: Where contours lie.
CONTOURS_ON = ("pet", "ct")


def require_dicom(kinds: Sequence[str], *, pet: str | Path, ct: str | Path, contours_on: str = "pet") -> None:
    """InputError if the scans cannot carry the objects: they need a DICOM PET, contours on the CT a DICOM CT."""
    if kinds and not holds_dicom(pet):
        raise InputError(
            f"is no DICOM, and a {kinds[0].upper()} refers to DICOM slices",
            where=pet,
            mend="give the DICOM folder of the PET, or take the NIfTI mask",
        )
    if "rtstruct" in kinds and contours_on == "ct" and not holds_dicom(ct):
        raise InputError("is no DICOM, so it cannot carry contours", where=ct, mend="draw on the PET's slices")


def write_dicom_results(
    paths: Mapping[str, Path],
    mask: np.ndarray,
    affine: np.ndarray,
    table: pd.DataFrame,
    *,
    pet: str | Path,
    ct: str | Path,
    case: str,
    identity: str = "case",
    semiautomatic: bool = True,
    contours_on: str = "pet",
) -> None:
    """Write the objects named in `paths` (keys of KINDS) of one mask.

    mask : (x, y, z), non-zero is lesion, on the PET's grid, `affine`;  table : its lesions (`measure_lesions`);
    pet, ct : DICOM folders or files;  case, identity, semiautomatic : see `clickpet.dicom.seg_export.write_seg`;
    contours_on : "pet" or "ct".  An SR refers to the SEG, which is the same bit for bit whether it is kept or not.
    """
    numbers = number_lesions(mask)
    whose = {"case": case, "identity": identity}
    with tempfile.TemporaryDirectory(prefix="clickpet-") as folder:
        seg = paths.get("seg", Path(folder) / "seg.dcm")
        if "seg" in paths or "sr" in paths:
            write_seg(seg, numbers, affine, pet, semiautomatic=semiautomatic, **whose)
        if "rtstruct" in paths:
            drawn_on = ct if contours_on == "ct" else None
            write_rtstruct(paths["rtstruct"], numbers, affine, pet, ct=drawn_on, semiautomatic=semiautomatic, **whose)
        if "sr" in paths:
            write_sr(paths["sr"], seg, table.to_dict("records"), measure_study(table), pet, **whose)


def with_tracking(table: pd.DataFrame, mask: np.ndarray, affine: np.ndarray, pet: str | Path) -> pd.DataFrame:
    """The lesion table with the columns tracking_id and tracking_uid: what the DICOM objects call each lesion."""
    tracking = LesionsOnPet.of(number_lesions(mask), affine, pet, where=pet).tracking
    named = table.copy()
    named["tracking_id"] = [lesion.label for lesion in tracking]
    named["tracking_uid"] = [lesion.uid for lesion in tracking]
    return named
