"""Image files in and out, and resampling: volumes with their affine.

Arrays are (x, y, z) as nibabel gives them, affines map voxel indices to RAS+ millimetres. SimpleITK's (z, y, x)
and LPS stay inside this module. What only asks an affine is in `clickpet.geometry`; its names that most callers need
beside an image are here, too.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from clickpet.errors import InputError
from clickpet.files import replacing
from clickpet.geometry import (
    LPS_RAS,
    Turn,
    grid_text,
    orientation,
    refuse_skewed,
    same_grid,
    skew_mm,
    spacing_mm,
    voxel_volume_ml,
)
from clickpet.metaimage import read_metaimage
from clickpet.nifti import read_nifti
from clickpet.nrrd import read_nrrd

if TYPE_CHECKING:
    import SimpleITK as sitk

#: Corners that are off by less are where they should be.
EXACT_MM = 1e-3
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    MemoryError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)


__all__ = [
    "Image",
    "grid_text",
    "read_image",
    "resample",
    "same_grid",
    "spacing_mm",
    "turned_like",
    "voxel_volume_ml",
    "write_image",
]


@dataclass(frozen=True, eq=False)
class Image:
    """A volume on its grid.

    array : (x, y, z);  affine : float64 (4, 4), voxel index to RAS+ mm;  notes : what was taken for granted in
    reading it, in sentences.
    """

    array: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.array.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return spacing_mm(self.affine)


#: Reader of a file by the end of its name.
_READERS: dict[str, Callable[[Path], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
}


def read_image(path: str | Path, dtype: type | None = None) -> Image:
    """Read a volume: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr).

    NIfTI slope and intercept are applied. A trailing axis of length 1 is dropped. `dtype` None keeps
    the type that the file has (float32 where a slope had to be applied), else the array is cast.

    Raises InputError for a missing, unreadable, truncated or damaged file, one that holds more or less than its header
    asks for, a volume that is not 3-D or not of one number a voxel, a header that does not tell spacing, orientation
    and position, axes that are not at right angles, and numbers that an integer `dtype` cannot hold.
    """
    path = Path(path)
    try:
        _check_place(path)
        read = next((reader for end, reader in _READERS.items() if path.name.lower().endswith(end)), None)
        if read is None:
            raise InputError(
                f"cannot be read as an image: its name ends in none of {', '.join(_READERS)}",
                where=path,
                mend="convert it, or give a folder of DICOM files",
            )
        array, affine, notes = read(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"cannot be read as an image ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
            where=path,
            mend="copy or export the file again",
        ) from error
    _check_affine(affine, path)
    refuse_skewed(array.shape, affine, where=path)
    if dtype is not None and array.dtype != dtype:
        array = _cast(array, np.dtype(dtype), path)
    return Image(array, affine, notes)


def _check_place(path: Path) -> None:
    """InputError for what is no file, and for the shadow file that a Mac leaves beside one."""
    if path.is_dir():
        inside = sorted(name for name in os.listdir(path) if name.lower().endswith(tuple(_READERS)))
        mend = f"give the file in it ({inside[0]})" if len(inside) == 1 else "give the file of the volume"
        raise InputError("is a folder, not a file", where=path, mend=mend)
    if not path.exists():
        raise InputError("no such file", where=path, mend="correct the path in the cohort table")
    if not path.is_file():
        raise InputError("is no ordinary file", where=path, mend="give the file of the volume")
    if path.name.startswith("._"):
        raise InputError(
            "is a hidden file of a Mac (AppleDouble), not an image", where=path, mend=f"give {path.name[2:]}"
        )


def _cast(array: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    """`array` as `dtype`; InputError where an integer type does not hold its numbers."""
    if dtype.kind in "iub" and not np.can_cast(array.dtype, dtype):
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (array.min() >= low and array.max() <= high and np.array_equal(array, np.rint(array))):
            raise InputError(
                f"holds values from {array.min():g} to {array.max():g}, not whole numbers from {low} to {high}",
                where=path,
                mend="check that it is the right file",
            )
    return array.astype(dtype)


def _check_affine(affine: np.ndarray, path: Path) -> None:
    if not np.all(np.isfinite(affine)) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(
            "its affine is singular or not finite (a zero voxel spacing?)",
            where=path,
            mend="mend the header or convert the image again",
        )


def write_image(path: str | Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (x, y, z) `array` to `path`, whole or not at all; bool is written as uint8.

    NIfTI is written without time stamps, so that the same array gives the same bytes; other
    suffixes (.mha, .nrrd) go through SimpleITK.
    """
    if array.dtype == bool:
        array = array.view(np.uint8)
    with replacing(path) as temporary:
        if temporary.name.endswith((".nii", ".nii.gz")):
            file = nib.Nifti1Image(array, affine)
            file.header.set_xyzt_units("mm")
            nib.save(file, temporary)
        else:
            import SimpleITK as sitk

            sitk.WriteImage(_to_itk(array, affine), str(temporary), useCompression=True)


def turned_like(image: Image, affine: np.ndarray) -> Image:
    """`image` with its axes in the order and directions of `affine`: flips and swaps, no voxel changes its place.

    An image whose affine is so flat that its axes have no order is returned as it is.
    """
    if "?" in orientation(image.affine) + orientation(affine):
        return image
    turn = Turn.between(image.affine, affine)
    return Image(turn.array(image.array), turn.affine(image.shape, image.affine), image.notes)


def resample(
    image: Image, shape: tuple[int, int, int], affine: np.ndarray, *, order: str = "linear", outside: float = 0.0
) -> np.ndarray:
    """Bring `image` onto the grid (`shape`, `affine`).

    order : "nearest", "linear" or "bspline" (cubic);  outside : value beyond the field of view.
    Returns an (x, y, z) array: float32, or the image's own dtype with "nearest".
    """
    import SimpleITK as sitk

    interpolator = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline}[order]
    moving = image.array if order == "nearest" else image.array.astype(np.float32, copy=False)
    origin, edges, direction = _itk_frame(affine)
    size = [int(length) for length in shape]
    transform = _true_places(image, shape, affine)
    resampled = sitk.Resample(
        _to_itk(moving, image.affine), size, transform, interpolator, origin, edges, direction, outside
    )
    return sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)


def _true_places(image: Image, shape, affine: np.ndarray) -> sitk.Transform:
    """The transform that leads from where ITK believes a voxel of the grid to be to where it believes the image's.

    ITK knows no axes that are not at right angles, so that grids of a slight tilt differ from what it is told.
    """
    import SimpleITK as sitk

    if max(skew_mm(image.shape, image.affine), skew_mm(shape, affine)) < EXACT_MM:
        return sitk.Transform()
    believed = [_frame_affine(*_itk_frame(one)) for one in (affine, image.affine)]
    wanted = believed[1] @ np.linalg.inv(LPS_RAS @ image.affine) @ LPS_RAS @ affine @ np.linalg.inv(believed[0])
    return sitk.AffineTransform(wanted[:3, :3].ravel().tolist(), wanted[:3, 3].tolist())


def _frame_affine(origin, edges, direction) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * edges
    affine[:3, 3] = origin
    return affine


def _itk_frame(affine: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction of an affine in SimpleITK's terms; the direction is made orthonormal."""
    lps = LPS_RAS @ affine
    edges = np.array(spacing_mm(affine))
    left, _, right = np.linalg.svd(lps[:3, :3] / edges)
    return lps[:3, 3].tolist(), edges.tolist(), (left @ right).ravel().tolist()


def _to_itk(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    import SimpleITK as sitk

    file = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    origin, edges, direction = _itk_frame(affine)
    file.SetOrigin(origin)
    file.SetSpacing(edges)
    file.SetDirection(direction)
    return file
