"""Image files in and out: the only module that knows about file formats and axis orders.

Arrays are (x, y, z) as nibabel gives them, affines map voxel indices to RAS+ millimetres.
SimpleITK's (z, y, x) and LPS stay inside this module.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from clickpet.errors import InputError
from clickpet.files import replacing

if TYPE_CHECKING:
    import SimpleITK as sitk

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
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
#: Orientation codes of NIfTI; 0 means "not told".
_ORIENTATION_CODES = range(6)
#: Two grids are the same if no corner of the volume moves by more than this part of a voxel.
GRID_TOLERANCE_VOX = 0.05


@dataclass(frozen=True, eq=False)
class Image:
    """A volume on its grid.

    array : (x, y, z);  affine : float64 (4, 4), voxel index to RAS+ mm.
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.array.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return spacing_mm(self.affine)


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel edge lengths (x, y, z) in mm of an affine."""
    return tuple(float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0))


def voxel_volume_ml(affine: np.ndarray) -> float:
    """Volume of a voxel in ml."""
    return float(np.prod(spacing_mm(affine)) / 1000)


def read_image(path: str | Path, dtype: type | None = None) -> Image:
    """Read a volume: NIfTI (.nii, .nii.gz) or whatever SimpleITK reads (.mha, .nrrd, ...).

    NIfTI slope and intercept are applied. A trailing axis of length 1 is dropped. `dtype` None keeps
    the type that the file has (float32 where a slope had to be applied), else the array is cast.

    Raises InputError for a missing, unreadable or truncated file, a volume that is not 3-D, a
    spacing that is not positive and an affine that is not finite or singular.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, mend="correct the path in the cohort table")
    try:
        image = _read_nifti(path) if path.name.endswith((".nii", ".nii.gz")) else _read_itk(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"cannot be read as an image ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
            where=path,
            mend="copy or export the file again",
        ) from error
    if dtype is not None and image.array.dtype != dtype:
        image = Image(image.array.astype(dtype), image.affine)
    return image


def _read_nifti(path: Path) -> Image:
    _check_raw_header(path)
    file = nib.load(path)
    shape = _three_axes(file.shape, path)
    _check_affine(file.affine, path)
    zooms = np.asarray(file.header.get_zooms()[:3], float)
    if not np.all(np.isfinite(zooms)) or np.any(zooms <= 0):
        raise InputError(f"voxel spacing {zooms.tolist()} is not positive", where=path, mend="mend its header")
    slope, intercept = file.dataobj.slope, file.dataobj.inter
    if slope == 1 and intercept == 0:
        array = np.asanyarray(file.dataobj)
    else:
        array = file.get_fdata(dtype=np.float32, caching="unchanged")
    return Image(array.reshape(shape), file.affine)


def _check_raw_header(path: Path) -> None:
    """Refuse what nibabel would mend without a word: no spacing becomes 1 mm, an unknown orientation code none."""
    with nib.openers.ImageOpener(str(path)) as file:
        raw = file.read(nib.Nifti2Header.sizeof_hdr)
    sizes = [int.from_bytes(raw[:4], order) for order in ("little", "big")]
    kind = next((kind for kind in (nib.Nifti1Header, nib.Nifti2Header) if kind.sizeof_hdr in sizes), None)
    if kind is None or len(raw) < kind.sizeof_hdr:
        return  # no NIfTI: nibabel says what is wrong
    header = kind(raw[: kind.sizeof_hdr], check=False)
    lengths, edges = header["dim"][1:4].tolist(), header["pixdim"][1:4].tolist()
    if any(length < 1 for length in lengths[: int(header["dim"][0])]):
        raise InputError(f"has no voxels (size {lengths})", where=path, mend="convert or export the image again")
    if not all(np.isfinite(edge) and edge != 0 for edge in edges):
        raise InputError(f"voxel spacing {edges} is not positive", where=path, mend="mend its header")
    codes = [int(header[name]) for name in ("qform_code", "sform_code")]
    if not any(codes) or any(code not in _ORIENTATION_CODES for code in codes):
        raise InputError(
            f"does not tell its orientation (qform code {codes[0]}, sform code {codes[1]})",
            where=path,
            mend="convert it again, or set the codes to 1 if the affine is right",
        )


def _read_itk(path: Path) -> Image:
    import SimpleITK as sitk  # here: most jobs never need it

    file = sitk.ReadImage(str(path))
    _three_axes(file.GetSize(), path)
    affine = _itk_affine(file)
    _check_affine(affine, path)
    return Image(sitk.GetArrayFromImage(file).transpose(2, 1, 0), affine)


def _three_axes(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise InputError(
            f"has {len(shape)} axes {tuple(shape)}, not 3", where=path, mend="give one 3-D volume per file"
        )
    return tuple(shape[:3])


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


def same_grid(shape_a, affine_a, shape_b, affine_b) -> bool:
    """True if both grids have one shape and no corner is off by more than GRID_TOLERANCE_VOX."""
    if tuple(shape_a) != tuple(shape_b):
        return False
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape_a], [1], indexing="ij")).reshape(4, -1)
    off_mm = np.linalg.norm(((affine_a - affine_b) @ corners)[:3], axis=0).max()
    return bool(off_mm <= GRID_TOLERANCE_VOX * min(spacing_mm(affine_b)))


def turned_like(image: Image, affine: np.ndarray) -> Image:
    """`image` with its axes in the order and directions of `affine`: flips and swaps, no voxel changes its place.

    An image whose affine is so skewed that its axes have no order is returned as it is.
    """
    own, wanted = (nib.orientations.io_orientation(one) for one in (image.affine, affine))
    if np.isnan(own).any() or np.isnan(wanted).any():
        return image
    turn = nib.orientations.ornt_transform(own, wanted)
    array = nib.orientations.apply_orientation(image.array, turn)
    return Image(array, image.affine @ nib.orientations.inv_ornt_aff(turn, image.shape))


def grid_text(shape, affine) -> str:
    """A grid as a person would write it, for messages."""
    sizes = "x".join(str(length) for length in shape)
    edges = "x".join(f"{edge:.2f}" for edge in spacing_mm(affine))
    origin = ", ".join(f"{place:.1f}" for place in affine[:3, 3])
    axes = "".join(code or "?" for code in nib.aff2axcodes(affine))
    return f"{sizes} at {edges} mm, {axes}, first voxel at ({origin}) mm"


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
    resampled = sitk.Resample(
        _to_itk(moving, image.affine), size, sitk.Transform(), interpolator, origin, edges, direction, outside
    )
    return sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)


def _itk_affine(file: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(file.GetDirection()).reshape(3, 3) * np.array(file.GetSpacing())
    affine[:3, 3] = file.GetOrigin()
    return _LPS_RAS @ affine


def _itk_frame(affine: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction of an affine in SimpleITK's terms; the direction is made orthonormal."""
    lps = _LPS_RAS @ affine
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
