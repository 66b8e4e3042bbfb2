"""CT and PET of one study in memory, on the PET's grid, and the lesion mask that belongs to them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.images import Image, spacing_mm
from clickpet.ingest.study import load_ct, load_label, load_pet


@dataclass(frozen=True, eq=False, kw_only=True)
class PetCt:
    """CT and PET of one study on one grid, in the precision of the workflow's files.

    ct : (x, y, z), HU;  suv : (x, y, z), g/ml (body weight);  affine : (4, 4), voxel index to RAS+ mm.
    record : how SUV and CT came about, {"suv": ..., "ct": ...} (`read_study`);  sources : paths of CT and PET.

    Arrays become float32 in Fortran order, as nibabel reads them, and the affine is rounded to float32, as NIfTI
    headers hold it. Raises InputError for arrays that are not 3-D or differ in shape, and an affine that is not (4, 4).
    """

    ct: np.ndarray
    suv: np.ndarray
    affine: np.ndarray
    record: Mapping = field(default_factory=dict, repr=False)
    sources: tuple[Path, ...] = ()

    def __post_init__(self):
        for name in ("ct", "suv"):
            object.__setattr__(self, name, np.asfortranarray(getattr(self, name), np.float32))
        affine = np.asarray(self.affine, np.float32).astype(float)
        if self.suv.ndim != 3 or self.ct.shape != self.suv.shape:
            raise InputError(
                f"CT {self.ct.shape} and PET {self.suv.shape} are not 3-D arrays of one shape",
                mend="give both on the PET's grid, or their files to read_study",
            )
        if affine.shape != (4, 4):
            raise InputError(f"the affine has the shape {affine.shape}", mend="give the (4, 4) matrix of the PET")
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.suv.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return spacing_mm(self.affine)


def read_study(*, ct: str | Path, pet: str | Path, suv_timing: str = "series") -> PetCt:
    """Read CT and PET of a study onto the PET's grid, as rule import_case does.

    ct : CT in HU on any grid, a volume (NIfTI, .mha, ...) or a DICOM folder;  pet : PET as SUV in g/ml in a volume, or
    a DICOM folder, from whose headers the SUV is computed;  suv_timing : config key ingest.suv_timing.

    What is odd in the headers is told as a warning, one a sentence; `record` holds it, too. Raises InputError for what
    cannot be read, is no HU or no SUV, or does not overlap.
    """
    image, audit = load_pet(pet, timing=suv_timing)
    resampled, record = load_ct(ct, image)
    _warn(pet, audit)
    _warn(ct, record)
    return PetCt(
        ct=resampled,
        suv=image.array,
        affine=image.affine,
        record={"suv": audit, "ct": record},
        sources=(Path(ct), Path(pet)),
    )


def read_label(
    path: str | Path, study: PetCt, *, regions: Sequence[str] | None = None, values: Sequence[int] | None = None
) -> np.ndarray:
    """Read the lesion mask of `study` onto its grid: uint8 (x, y, z), 0 or 1.

    path : a volume on the PET's grid, or DICOM SEG or RTSTRUCT;  regions : names of its regions that are lesions, with
    * as in file names (None: all);  values : values of a volume that are lesions (None: it holds 0 and 1 alone).
    What was odd and dealt with is told as a warning, one a sentence. Raises InputError
    as `clickpet.ingest.study.load_label` does.
    """
    pet = Image(study.suv, study.affine)
    mask, record = load_label(path, pet, regions=regions, values=values, drawn_on=study.sources)
    _warn(path, record)
    return mask


def _warn(path: str | Path, record: Mapping) -> None:
    for text in record.get("warnings") or ():
        warnings.warn(f"{path}: {text}", stacklevel=3)
