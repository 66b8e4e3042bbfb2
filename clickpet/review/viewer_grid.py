"""The grid in which a study is shown: its axes turned to right, anterior, superior, no voxel moved."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from clickpet.geometry import Turn
from clickpet.nnunet.nonzero_box import Box

#: Range of int16 that volumes are stored in; HU fit as they are.
INT16 = np.iinfo(np.int16)
#: zlib: masks shrink a hundredfold at any level, so the fastest.
_LEVEL = 1


@dataclass(frozen=True, eq=False)
class ViewerGrid:
    """A PET's grid as the viewer gets it: axes towards right, anterior and superior (RAS).

    pet_shape, pet_affine : of the PET (voxel to RAS+ mm);  turn : from the PET's axes to the viewer's.
    """

    pet_shape: tuple[int, int, int]
    pet_affine: np.ndarray
    turn: Turn

    @classmethod
    def of(cls, shape: Sequence[int], affine: np.ndarray) -> ViewerGrid:
        """The viewer's grid of a PET."""
        return cls(tuple(shape), np.asarray(affine, float), Turn.between(affine, "RAS"))

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), voxel of the viewer to RAS+ mm."""
        return self.turn.affine(self.pet_shape, self.pet_affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the viewer's volumes."""
        return tuple(int(length) for length in np.array(self.pet_shape)[self._pet_axes()])

    def _pet_axes(self) -> np.ndarray:
        """The PET's axis that each axis of the viewer is."""
        return np.argsort(self.turn.steps[:, 0]).astype(int)

    def to_pet(self, points: np.ndarray) -> np.ndarray:
        """Voxels of the viewer as voxels of the PET; int64 (n, 3) both."""
        return self._through(points, np.linalg.inv(self.pet_affine) @ self.affine)

    def to_viewer(self, points: np.ndarray) -> np.ndarray:
        """Voxels of the PET as voxels of the viewer; int64 (n, 3) both."""
        return self._through(points, np.linalg.inv(self.affine) @ self.pet_affine)

    @staticmethod
    def _through(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        points = np.asarray(points, float).reshape(-1, 3)
        return np.rint(points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.int64)

    def box_to_viewer(self, box: Box) -> Box:
        """A box of the PET (slices with start and stop) as a box of the viewer."""
        ends = self.to_viewer([[side.start for side in box], [side.stop - 1 for side in box]])
        return tuple(slice(int(low), int(high) + 1) for low, high in zip(ends.min(0), ends.max(0), strict=True))

    def voxels(self, mask: np.ndarray) -> np.ndarray:
        """The voxels of a mask of the PET's grid that are not 0, in the viewer; int64 (n, 3)."""
        # in the order of the memory, in which 50 million voxels are looked through in hundredths of a second
        order = "F" if mask.flags.f_contiguous else "C"
        inside = np.flatnonzero(mask.ravel(order))
        return self.to_viewer(np.stack(np.unravel_index(inside, mask.shape, order), -1))

    def volume(self, array: np.ndarray) -> np.ndarray:
        """A volume of the PET's grid on the viewer's; a view."""
        return self.turn.array(array)


def hu_nifti(ct: np.ndarray, grid: ViewerGrid) -> bytes:
    """A CT (float, HU, PET's grid) as an uncompressed NIfTI file of the viewer: int16, whole HU."""
    return nifti_bytes(grid.volume(ct), grid.affine)


def suv_nifti(suv: np.ndarray, grid: ViewerGrid) -> bytes:
    """A PET (float, g/ml) as such a file: int16, its highest SUV being the highest number."""
    return nifti_bytes(grid.volume(suv), grid.affine, step_of(suv))


def step_of(suv: np.ndarray) -> float:
    """SUV of one step of an int16 that is to hold the highest and the lowest of `suv`."""
    return max(float(suv.max()), -float(suv.min()), float(np.finfo(np.float32).tiny)) / INT16.max


def nifti_bytes(values: np.ndarray, affine: np.ndarray, step: float = 1.0) -> bytes:
    """A float array (x, y, z) as an uncompressed NIfTI file: int16 in steps of `step`; what they cannot hold is cut."""
    stored = np.empty(values.shape[::-1], np.int16)
    for plane, given in zip(stored, values.T, strict=True):  # plane by plane: a third of the time and no copies
        plane[:] = np.clip(np.rint(given / np.float32(step)), INT16.min, INT16.max)
    header = nib.Nifti1Header()
    header.set_data_shape(values.shape)
    header.set_data_dtype(stored.dtype)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    header.set_slope_inter(step, 0.0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header.binaryblock + b"\0" * 4 + stored.tobytes()


def packed(mask: np.ndarray, box: Box | None = None) -> dict:
    """A mask (uint8, viewer's axes), or its `box`, for the page: {"box": [[start, stop] x 3], "zlib": base64}.

    The bytes are in Fortran order, x fastest. `box` None: the whole mask.
    """
    box = tuple(slice(0, length) for length in mask.shape) if box is None else box
    content = zlib.compress(np.asarray(mask[box], np.uint8).tobytes("F"), _LEVEL)
    return {"box": [[side.start, side.stop] for side in box], "zlib": base64.b64encode(content).decode("ascii")}
