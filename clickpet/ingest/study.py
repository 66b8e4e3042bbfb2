"""A study as it comes, brought onto one grid: the PET's. Paper, section 2.1, "Images"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cc3d
import numpy as np

from clickpet.errors import InputError
from clickpet.images import Image, grid_text, read_image, resample, same_grid, turned_like, voxel_volume_ml

#: What lies outside the CT's field of view is air.
OUTSIDE_HU = -1024.0
#: Files that hold a volume each; anything else is looked at for DICOM.
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
#: An SUV above this everywhere in a study is not an SUV; below it nothing is (HU mixed up, counts, Bq/ml).
SUV_MAX_RANGE = (0.1, 5000.0)


def load_pet(path: str | Path, *, timing: str = "series") -> tuple[Image, dict]:
    """PET as SUV (body weight, g/ml, float32) from a volume that holds SUV or from a DICOM folder.

    timing : how decay is counted, DICOM only.  Returns the image and the audit record of the SUV.
    """
    if holds_dicom(path):
        from clickpet.dicom.series import load_suv

        image, audit = load_suv(path, timing=timing)
        audit = {"source": "DICOM", **audit}
    else:
        image = read_image(path, np.float32)
        audit = {"source": "file", "rule": "taken as SUV (body weight) as it is"}
    _check_finite(image.array, path)
    highest = float(image.array.max())
    if not SUV_MAX_RANGE[0] <= highest <= SUV_MAX_RANGE[1] or image.array.min() < -SUV_MAX_RANGE[0] * 100:
        raise InputError(
            f"values from {image.array.min():.4g} to {highest:.4g} are no SUV in g/ml",
            where=path,
            mend="give the PET as SUV (or as DICOM), and check that ct and pet are not swapped",
        )
    return image, audit


def read_ct(path: str | Path) -> Image:
    """CT in HU (float32) on its own grid, from a volume or from DICOM."""
    if holds_dicom(path):
        from clickpet.dicom.series import load_ct as load_series

        image = load_series(path)
    else:
        image = read_image(path, np.float32)
    _check_finite(image.array, path)
    if image.array.min() > -100:
        raise InputError(
            f"values from {image.array.min():.4g} to {image.array.max():.4g} hold no air, so they are no HU",
            where=path,
            mend="give the CT in HU, and check that ct and pet are not swapped",
        )
    return image


def load_ct(path: str | Path, pet: Image) -> tuple[np.ndarray, dict]:
    """CT in HU (float32) on the PET's grid: linear, OUTSIDE_HU beyond its field of view.

    Returns the array and a record of the CT's own grid.
    """
    image = read_ct(path)
    record = {
        "grid": grid_text(image.shape, image.affine),
        "resampled": False,
        "warnings": _belonging(pet, image, path),
    }
    if same_grid(image.shape, image.affine, pet.shape, pet.affine):
        return image.array, record
    record["resampled"] = True
    ct = resample(image, pet.shape, pet.affine, order="linear", outside=OUTSIDE_HU)
    if not (ct > OUTSIDE_HU).any():
        raise InputError("does not overlap the PET", where=path, mend="give the CT of the same examination")
    return ct, record


def _belonging(pet: Image, ct: Image, path: str | Path) -> list[str]:
    """What the headers of PET and CT say against each other, where both are DICOM; InputError for two patients."""
    if not (hasattr(pet, "frame_of_reference") and hasattr(ct, "frame_of_reference")):
        return []
    from clickpet.dicom.pairing import compare_volumes

    return compare_volumes(pet, ct, path)


def holds_dicom(path: str | Path) -> bool:
    """Whether an entry of the cohort table means DICOM (a folder, or a file that begins so), not a volume."""
    if str(path).endswith(VOLUME_SUFFIXES):
        return False
    from clickpet.dicom.files import is_dicom

    return is_dicom(path)


def _check_finite(array: np.ndarray, path: str | Path) -> None:
    # one sum sees every NaN and infinity without a mask of the array's size
    if not np.isfinite(array.sum(dtype=np.float64)):
        raise InputError("holds NaN or infinite values", where=path, mend="convert or export the image again")


def load_label(
    path: str | Path,
    pet: Image,
    *,
    regions: Sequence[str] | None = None,
    drawn_on: Sequence[str | Path] = (),
) -> np.ndarray:
    """Lesion mask (uint8, 0 or 1) on the PET's grid from a volume, or from DICOM SEG or RTSTRUCT.

    regions : names of the regions of a SEG or RTSTRUCT that are lesions, with * as in file names (None: all);
    drawn_on : PET and CT of the study; a DICOM mask has to be in the frame of reference of one that is DICOM.

    A volume on the PET's grid whose axes are stored in another order or direction is turned; no voxel moves.
    Raises InputError for another grid or values other than 0 and 1.
    """
    return read_label(path, pet, regions=regions, drawn_on=drawn_on)[0]


def read_label(
    path: str | Path,
    pet: Image,
    *,
    regions: Sequence[str] | None = None,
    drawn_on: Sequence[str | Path] = (),
) -> tuple[np.ndarray, dict]:
    """`load_label`, and a record of the file: its "source", and "warnings" of what was odd and dealt with."""
    if holds_dicom(path):
        from clickpet.dicom.masks import read_mask

        frames = [_frame_of_reference(source) for source in drawn_on if holds_dicom(source)]
        return read_mask(path, pet, roi=regions, frames_of_reference=frames)
    stored = read_image(path)
    image = turned_like(stored, pet.affine)
    if not same_grid(image.shape, image.affine, pet.shape, pet.affine):
        own, wanted = grid_text(stored.shape, stored.affine), grid_text(pet.shape, pet.affine)
        raise InputError(
            f"its grid ({own}) is not the PET's ({wanted})",
            where=path,
            mend="give the label on the PET's grid (nearest neighbour), and check that it belongs to this study",
        )
    mask = image.array == 1
    if not np.array_equal(mask, image.array):
        values = np.unique(image.array[image.array != mask])[:5]
        raise InputError(
            f"holds values other than 0 and 1: {', '.join(f'{value:g}' for value in values)}",
            where=path,
            mend="give a binary lesion mask",
        )
    return mask.view(np.uint8), {"source": "file", "warnings": []}


def _frame_of_reference(source: str | Path) -> str:
    from clickpet.dicom.catalogue import find_series

    return next((series.frame_of_reference for series in find_series(source) if series.frame_of_reference), "")


def describe_label(mask: np.ndarray, affine: np.ndarray) -> dict:
    """Number of lesions (18-connected, the official definition) and their volume in ml of a mask (x, y, z)."""
    _, lesions = cc3d.connected_components(mask, connectivity=18, return_N=True)
    return {"lesions": int(lesions), "volume_ml": int(np.count_nonzero(mask)) * voxel_volume_ml(affine)}
