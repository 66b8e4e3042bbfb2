"""A study as it comes, brought onto one grid: the PET's. Paper, section 2.1, "Images"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cc3d
import numpy as np

from clickpet.errors import InputError
from clickpet.geometry import Turn, grid_text, grid_texts, refuse_skewed, same_grid, voxel_volume_ml
from clickpet.images import Image, read_image, resample, turned_like
from clickpet.ingest.bids_files import is_bids_pet

#: What lies outside the CT's field of view is air.
OUTSIDE_HU = -1024.0
#: Air is below, tissue above.
BODY_HU = -500.0
#: A slice is asked in so many places along each axis whether it lies in the CT.
COVERAGE_POINTS = 17
#: A CT has to cover this part of the PET's slices; below the second it is told. As `clickpet.dicom.pairing` has them,
#: whose import would cost every job that reads no DICOM a quarter of a second.
LEAST_COVERAGE, FULL_COVERAGE = 0.1, 0.9
#: Files that hold a volume each; anything else is looked at for DICOM.
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
#: The highest SUV of a study: above is no SUV, and below (HU mixed up, counts, Bq/ml).
SUV_MAX_RANGE = (0.1, 5000.0)
#: An SUV of this much is seen in a few ml (bladder, kidneys); where it is in a larger part of the voxels, it is Bq/ml.
HOT_SUV, MOST_HOT = 50.0, 0.02


def load_pet(path: str | Path, *, timing: str = "series") -> tuple[Image, dict]:
    """PET as SUV (body weight, g/ml, float32) from a volume that holds SUV, a PET of a BIDS data set, or DICOM.

    timing : how decay is counted, DICOM only.  Returns the image and the audit record of the SUV, whose "warnings" say
    what was odd and dealt with. Raises InputError for values that are no SUV and axes that are not at right angles.
    """
    if holds_dicom(path):
        from clickpet.dicom.series import load_suv

        image, audit = load_suv(path, timing=timing)
        audit = {"source": "DICOM", **audit}
        refuse_skewed(image.shape, image.affine, where=path)
    elif is_bids_pet(path):
        from clickpet.ingest.bids_suv import suv_of_bids

        factor, audit = suv_of_bids(Path(path))
        stored = read_image(path, np.float32)
        image = replace(stored, array=stored.array * np.float32(factor))
    else:
        image = read_image(path, np.float32)
        audit = {"source": "file", "rule": "taken as SUV (body weight) as it is"}
    audit["warnings"] = [*audit.get("warnings", ()), *image.notes]
    _check_finite(image.array, path)
    lowest, highest = float(image.array.min()), float(image.array.max())
    hot = np.count_nonzero(image.array > HOT_SUV) / image.array.size if highest > HOT_SUV else 0.0
    if not SUV_MAX_RANGE[0] <= highest <= SUV_MAX_RANGE[1] or lowest < -SUV_MAX_RANGE[0] * 100 or hot > MOST_HOT:
        part = f", {hot:.0%} of the voxels above {HOT_SUV:g}" if hot > MOST_HOT else ""
        raise InputError(
            f"values from {lowest:.4g} to {highest:.4g}{part} are no SUV in g/ml",
            where=path,
            mend="give the PET as SUV (Bq/ml x weight in g / decayed dose in Bq) or as DICOM, and check that ct and "
            "pet are not swapped",
        )
    return image, audit


def read_ct(path: str | Path) -> Image:
    """CT in HU (float32) on its own grid, from a volume or from DICOM; below OUTSIDE_HU nothing is left.

    `notes` say what was odd. Raises InputError for values that are no HU.
    """
    if holds_dicom(path):
        from clickpet.dicom.series import load_ct as load_series

        image = load_series(path)
    else:
        image = read_image(path, np.float32)
    _check_finite(image.array, path)
    lowest = float(image.array.min())
    if lowest > -100:
        raise InputError(
            f"values from {lowest:.4g} to {image.array.max():.4g} hold no air, so they are no HU",
            where=path,
            mend="give the CT in HU, and check that ct and pet are not swapped",
        )
    notes = list(image.notes)
    corner_hu = _corner_hu(image)
    if corner_hu > BODY_HU:
        notes.append(
            f"the corners of the CT hold {corner_hu:.4g} HU where there should be air: padding, or a lost intercept?"
        )
    if lowest < OUTSIDE_HU:
        notes.append(f"CT values down to {lowest:.6g} HU (padding) were taken as air ({OUTSIDE_HU:g} HU)")
        array = np.maximum(image.array, np.float32(OUTSIDE_HU))
    else:
        array = image.array
    return replace(image, array=array, notes=tuple(notes))


def _corner_hu(image: Image) -> float:
    """The HU that three of the four columns of voxels along the body's edges of a volume reach (their medians)."""
    array = Turn.between(image.affine).array(image.array)
    medians = sorted(float(np.median(array[x, y])) for x in (0, -1) for y in (0, -1))
    return medians[1]


def load_ct(path: str | Path, pet: Image) -> tuple[np.ndarray, dict]:
    """CT in HU (float32) on the PET's grid: linear, OUTSIDE_HU beyond its field of view.

    Returns the array and a record of the CT's own grid, whose "warnings" say what was odd. Raises InputError for a CT
    that covers less than LEAST_COVERAGE of the PET's slices.
    """
    image = read_ct(path)
    record = {
        "grid": grid_text(image.shape, image.affine),
        "resampled": False,
        "warnings": [*image.notes, *_belonging(pet, image, path)],
    }
    if same_grid(image.shape, image.affine, pet.shape, pet.affine):
        return image.array, record
    record["resampled"] = True
    covered = _covered_slices(image, pet)
    met = f"covers {int(covered.sum())} of the {len(covered)} slices of the PET"
    if covered.mean() < LEAST_COVERAGE:
        raise InputError(
            met if covered.any() else "does not overlap the PET", where=path, mend="give the CT of the same examination"
        )
    if covered.mean() < FULL_COVERAGE and not any("covers" in text for text in record["warnings"]):
        record["warnings"].append(f"it {met}")
    return resample(image, pet.shape, pet.affine, order="linear", outside=OUTSIDE_HU), record


def _covered_slices(ct: Image, pet: Image) -> np.ndarray:
    """For each slice of the PET across the body whether some of it is inside the CT's volume: bool (slices,)."""
    turn = Turn.between(pet.affine)
    shape = turn.array(np.broadcast_to(np.float32(0), pet.shape)).shape
    to_ct = np.linalg.inv(ct.affine) @ turn.affine(pet.shape, pet.affine)
    x, y = (np.linspace(0, length - 1, COVERAGE_POINTS) for length in shape[:2])
    points = np.stack(np.meshgrid(x, y, np.arange(shape[2]), [1.0], indexing="ij")).reshape(4, -1)
    voxels = (to_ct @ points)[:3]
    inside = np.all((voxels > -0.5) & (voxels < np.array(ct.shape)[:, None] - 0.5), axis=0)
    return inside.reshape(-1, shape[2]).any(axis=0)


def _belonging(pet: Image, ct: Image, path: str | Path) -> list[str]:
    """What the headers of PET and CT say against each other, where both are DICOM; InputError for two patients."""
    if not (hasattr(pet, "frame_of_reference") and hasattr(ct, "frame_of_reference")):
        return []
    from clickpet.dicom.pairing import compare_volumes

    return compare_volumes(pet, ct, path)


def holds_dicom(path: str | Path) -> bool:
    """Whether an entry of the cohort table means DICOM (a folder, or a file that begins so), not a volume.

    A folder that is called like a volume means DICOM unless there is a volume in it, as some programs unpack them.
    """
    path = Path(path)
    if _is_volume(path) and not (path.is_dir() and not any(map(_is_volume, path.iterdir()))):
        return False
    from clickpet.dicom.files import is_dicom

    return is_dicom(path)


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def _check_finite(array: np.ndarray, path: str | Path) -> None:
    # one sum sees every NaN and infinity without a mask of the array's size
    if not np.isfinite(array.sum(dtype=np.float64)):
        raise InputError("holds NaN or infinite values", where=path, mend="convert or export the image again")


def load_label(
    path: str | Path,
    pet: Image,
    *,
    regions: Sequence[str] | None = None,
    values: Sequence[int] | None = None,
    drawn_on: Sequence[str | Path] = (),
) -> tuple[np.ndarray, dict]:
    """Lesion mask (uint8, 0 or 1) on the PET's grid from a volume, or from DICOM SEG or RTSTRUCT.

    regions : names of the regions of a SEG or RTSTRUCT that are lesions, with * as in file names (None: all);
    values : values of a volume that are lesions, others are background (None: a volume holds 0 and 1 alone);
    drawn_on : PET and CT of the study; a DICOM mask has to be in the frame of reference of one that is DICOM.

    A volume on the PET's grid whose axes are stored in another order or direction is turned; no voxel moves.
    Returns the mask and a record of the file: its "source", and "warnings" of what was odd and dealt with. Raises
    InputError for another grid or values other than 0 and 1.
    """
    if holds_dicom(path):
        from clickpet.dicom.masks import read_mask

        frames = [_frame_of_reference(source) for source in drawn_on if holds_dicom(source)]
        return read_mask(path, pet, roi=regions, frames_of_reference=frames)
    stored = read_image(path)
    image = turned_like(stored, pet.affine)
    if not same_grid(image.shape, image.affine, pet.shape, pet.affine):
        own, wanted = grid_texts(stored.shape, stored.affine, pet.shape, pet.affine)
        raise InputError(
            f"its grid ({own}) is not the PET's ({wanted})",
            where=path,
            mend="give the label on the PET's grid (nearest neighbour), and check that it belongs to this study",
        )
    if values is None:
        return _as_mask(image.array, path), {"source": "file", "warnings": list(image.notes)}
    mask, odd = _of_values(image.array, values)
    return mask, {"source": "file", "values": list(values), "warnings": [*image.notes, *odd]}


def _of_values(array: np.ndarray, values: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """Where a label has one of `values`, as uint8, and what is odd about it: other values than these and 0."""
    mask = np.isin(array, list(values))
    others = np.unique(array[~mask & (array != 0)])
    if not others.size:
        return mask.view(np.uint8), []
    listed = ", ".join(_distinct(value) for value in others[:5]) + (", ..." if others.size > 5 else "")
    text = f"values {listed} were taken as background (ingest.label_values)"
    return mask.view(np.uint8), [text if mask.any() else f"{text}, and nothing is left: is that right?"]


def _as_mask(array: np.ndarray, path: str | Path) -> np.ndarray:
    """A label as uint8; InputError where its values are others than 0 and 1."""
    mask = array == 1
    if not np.array_equal(mask, array):
        values = np.unique(array[array != mask])[:5]
        raise InputError(
            f"holds values other than 0 and 1: {', '.join(_distinct(value) for value in values)}",
            where=path,
            mend="give a binary lesion mask, or name the values that are lesions in ingest.label_values"
            + ("; these are 0 and 1 unrounded" if np.allclose(values, np.rint(values), atol=1e-3) else ""),
        )
    return mask.view(np.uint8)


def _distinct(value: np.generic) -> str:
    """A number with six digits, with all that it has where six would read 0 or 1."""
    return str(value) if f"{value:g}" in ("0", "1", "-0") else f"{value:g}"


def _frame_of_reference(source: str | Path) -> str:
    from clickpet.dicom.catalogue import find_series

    return next((series.frame_of_reference for series in find_series(source) if series.frame_of_reference), "")


def describe_label(mask: np.ndarray, affine: np.ndarray) -> dict:
    """Number of lesions (18-connected, the official definition) and their volume in ml of a mask (x, y, z)."""
    _, lesions = cc3d.connected_components(mask, connectivity=18, return_N=True)
    return {"lesions": int(lesions), "volume_ml": int(np.count_nonzero(mask)) * voxel_volume_ml(affine)}
