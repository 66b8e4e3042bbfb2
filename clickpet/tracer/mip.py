"""Maximum intensity projection of a PET, as the tracer discriminator sees it.

Paper, section 2.2, "Tracer Discriminator".
"""

from __future__ import annotations

import nibabel as nib
import numpy as np

from clickpet.errors import InputError
from clickpet.images import spacing_mm
from clickpet.tracer.spline_resampling import resampled_slabs, row_blocks, spline_weights

VIEWS = ("coronal", "sagittal")


def render_mip(
    suv: np.ndarray,
    affine: np.ndarray,
    *,
    axis: str = "coronal",
    spacing_out_mm: float = 3.0,
    size: int = 224,
    compat: str = "paper",
) -> np.ndarray:
    """Render the maximum intensity projection of a PET: float32 (size, size), raw SUV.

    suv : (x, y, z), g/ml, finite, any real dtype, orientation and memory layout;  affine : (4, 4), voxel index
    to RAS+ mm. An oblique grid counts as the straight one nearest to it.

    axis : "coronal" or "sagittal", the plane of the picture;  spacing_out_mm : edge of a pixel;  size : pixels.
    The volume is resampled by cubic B-splines (as SimpleITK's sitkBSpline) to `spacing_out_mm` along each axis,
    from the centre of its first voxel (right, posterior, inferior), to round(length / spacing) samples, 0 beyond
    the last voxel's edge; then comes the maximum across the plane, then the centred crop of `size` pixels, padded
    with 0 on both sides where the patient is smaller.

    Row 0 is the top of the head. Coronal: the patient faces the reader, so column 0 is the patient's right.
    Sagittal: column 0 is anterior. The picture does not depend on how the file is oriented.

    compat="released" gives the array that the released tracer weights expect: row 0 at the feet, padding only
    at the end of rows and columns.

    Only the samples in the crop are computed, as products of one spline matrix per axis. Largest difference
    to SimpleITK: 1e-5 of the largest SUV.
    """
    _check_options(axis, compat, size, spacing_out_mm)
    las, edges_mm = _as_las(suv, affine)
    across, projected = (0, 1) if axis == "coronal" else (1, 0)  # array axes of the columns and of the projection
    to_rows, to_columns, to_depth = (
        spline_weights(las.shape[a], edges_mm[a], spacing_out_mm) for a in (2, across, projected)
    )
    to_rows, to_columns = to_rows[_centred(len(to_rows), size)], to_columns[_centred(len(to_columns), size)]

    picture = np.full((len(to_columns), len(to_rows)), -np.inf, np.float32)
    for rows, slab in resampled_slabs(las.transpose(2, projected, across), to_rows):  # (rows, depth, columns)
        lines = slab.reshape(-1, slab.shape[2])
        resampled = np.empty((len(to_columns), len(lines)), np.float32)
        for some, used, weights in row_blocks(to_columns):
            np.matmul(weights, lines[:, used].T, out=resampled[some])
        lines = resampled.reshape(-1, slab.shape[1])  # (columns and rows, depth)
        highest = np.full(len(lines), -np.inf, np.float32)
        for _, used, weights in row_blocks(to_depth):
            np.maximum(highest, (lines[:, used] @ weights.T).max(axis=1), out=highest)
        picture[:, rows] = highest.reshape(len(to_columns), -1)
    return _on_canvas(picture.T, size, axis, compat)


def _check_options(axis: str, compat: str, size: int, spacing_out_mm: float) -> None:
    for name, value, allowed in (
        ("mip axis", axis, VIEWS),
        ("mip compat", compat, ("paper", "released")),
    ):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}", mend=f"use one of {', '.join(allowed)}")
    if size < 1 or not spacing_out_mm > 0:
        raise InputError(f"mip of {size} pixels at {spacing_out_mm} mm", mend="give a positive size and spacing")


def _as_las(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """`array` in LAS order (x to the left, y to the front, z to the head: how autoPET is stored) as a view, and its
    spacing (mm)."""
    las = nib.orientations.axcodes2ornt("LAS")
    turn = nib.orientations.ornt_transform(las, nib.orientations.io_orientation(affine))
    order = [int(stored) for stored in turn[:, 0]]
    flips = tuple(slice(None, None, -1 if direction < 0 else 1) for direction in turn[:, 1])
    edges_mm = spacing_mm(affine)
    return array.transpose(order)[flips], [edges_mm[stored] for stored in order]


def _centred(length: int, size: int) -> slice:
    """The centred part of `length` samples that fits into `size`."""
    start = max(0, length // 2 - size // 2)
    return slice(start, min(length, start + size))


def _on_canvas(picture: np.ndarray, size: int, axis: str, compat: str) -> np.ndarray:
    """`picture` (rows from the feet, columns in LAS order) on its square canvas, turned as `render_mip` says."""
    canvas = np.zeros((size, size), picture.dtype)
    top, left = (0, 0) if compat == "released" else ((size - length) // 2 for length in picture.shape)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    if compat == "released":
        return canvas
    return np.ascontiguousarray(canvas[::-1] if axis == "coronal" else canvas[::-1, ::-1])
