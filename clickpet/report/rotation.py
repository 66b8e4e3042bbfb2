"""Rotating maximum intensity projection of a case: views around the body's axis, side by side in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nibabel as nib
import numpy as np

from clickpet.images import spacing_mm
from clickpet.projections import project_lines
from clickpet.report.case_figure import BODY_MIN_SUV, OPACITY, OUTCOME_COLOURS, body_box, lesion_outcome, window_max_suv

#: Views over half a turn. The view from the other side is the mirror image, so that they make a whole one.
VIEWS = 12
#: Edge of a pixel.
PIXEL_MM = 3.0
#: Of a pixel: a centre on the edge of two always falls into the same one.
ON_THE_EDGE = 1e-6


def draw_rotation(
    suv: np.ndarray, lesions: np.ndarray, affine: np.ndarray, *, tracer: str = "", truth: np.ndarray | None = None
) -> np.ndarray:
    """VIEWS projections over half a turn, side by side: uint8 (rows, columns, 3), head up, from the front first.

    suv : g/ml (x, y, z);  lesions, truth : bool, same shape;  affine : voxel to RAS+ mm;  tracer : decides the SUV
    window. Lesions have the colours of the case's figure: matched, missed and false, or false without a truth. From
    view to view the patient turns by 180 / VIEWS degrees, the face towards the viewer's left.
    """
    to_ras = nib.orientations.io_orientation(affine)
    edges_mm = spacing_mm(affine @ nib.orientations.inv_ornt_aff(to_ras, suv.shape))
    layers = {"false": lesions} if truth is None else vars(lesion_outcome(lesions, truth))
    volume = nib.orientations.apply_orientation(suv, to_ras)
    box = body_box(volume, edges_mm)
    layers = {name: nib.orientations.apply_orientation(mask, to_ras)[box] for name, mask in layers.items()}
    uptake = _uptake_views(volume[box], edges_mm)
    grey = 255 * (1 - np.clip(uptake / window_max_suv(tracer), 0, 1))
    picture = np.repeat(grey[..., None], 3, axis=-1)
    _tint(picture, {name: _mask_views(mask, edges_mm) for name, mask in layers.items() if mask.any()})
    picture = picture[:, :, _used(uptake > BODY_MIN_SUV)]
    return np.rint(picture).astype(np.uint8).transpose(1, 0, 2, 3).reshape(picture.shape[1], -1, 3)


def _used(body: np.ndarray) -> slice:
    """The columns that hold the body in any view, and as much on the other side of the axis (views, rows, columns)."""
    size = body.shape[2]
    used = np.flatnonzero(body.any(axis=(0, 1)))
    margin = min(used[0], size - 1 - used[-1]) if used.size else 0
    return slice(int(margin), int(size - margin))


def _tint(picture: np.ndarray, masks: Mapping[str, np.ndarray]) -> None:
    for name, mask in masks.items():
        colour = OUTCOME_COLOURS[name]
        rgb = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * np.array(rgb)


def _pixel_mm(edges_mm: Sequence[float]) -> float:
    """Edge of a pixel: PIXEL_MM, or that of a voxel in its axial slice where that is larger."""
    return max(PIXEL_MM, *edges_mm[:2])


def _columns(shape: Sequence[int], edges_mm: Sequence[float]) -> tuple[np.ndarray, int]:
    """The column of pixels that each line of voxels along z is projected into, and the number of columns.

    shape, edges_mm : of a volume (RAS+).  Returns int64 (views, x, y). No line is left out in any view.
    """
    x, y = ((np.arange(length) + 0.5 - length / 2) * edge for length, edge in zip(shape[:2], edges_mm[:2], strict=True))
    pixel_mm = _pixel_mm(edges_mm)
    count = int(np.ceil(np.hypot(np.ptp(x), np.ptp(y)) / pixel_mm)) + 1
    angle = (np.arange(VIEWS) * np.pi / VIEWS)[:, None, None]
    # from the front, x grows to the left: the patient's right is on the viewer's left
    across = -(x[:, None] * np.cos(angle) + y * np.sin(angle))
    return np.floor(across / pixel_mm + count / 2 + ON_THE_EDGE).astype(int), count


def _uptake_views(suv: np.ndarray, edges_mm: Sequence[float]) -> np.ndarray:
    """Maxima of `suv` (RAS+) along the line of sight of each view: (views, rows, columns), head first."""
    columns, count = _columns(suv.shape, edges_mm)
    lines = suv.reshape(-1, suv.shape[2])
    views = np.zeros((VIEWS, count, suv.shape[2]), suv.dtype)
    for view, column in zip(views, columns.reshape(VIEWS, -1), strict=True):
        project_lines(lines, column, view)
    return _rows(views, edges_mm)


def _mask_views(mask: np.ndarray, edges_mm: Sequence[float]) -> np.ndarray:
    """The same of a bool mask: where any of its voxels is seen."""
    columns, count = _columns(mask.shape, edges_mm)
    x, y, z = np.nonzero(mask)
    views = np.zeros((VIEWS, count, mask.shape[2]), bool)
    for view, column in zip(views, columns, strict=True):
        view[column[x, y], z] = True
    return _rows(views, edges_mm)


def _rows(views: np.ndarray, edges_mm: Sequence[float]) -> np.ndarray:
    """Views of slices (views, columns, z) as views of pixels (views, rows, columns), head first.

    Thin slices share a row, whose maximum is taken; thick ones take several rows.
    """
    depth, slices_a_row = views.shape[2], _pixel_mm(edges_mm) / edges_mm[2]
    if slices_a_row < 1:
        row_middles = (np.arange(int(np.ceil(depth / slices_a_row))) + 0.5) * slices_a_row
        rows = views[:, :, np.minimum(row_middles, depth - 1).astype(int)]
    else:
        row = np.floor((np.arange(depth) + 0.5) / slices_a_row + ON_THE_EDGE).astype(int)
        rows = np.maximum.reduceat(views, np.unique(row, return_index=True)[1], axis=2)
    return rows[:, :, ::-1].transpose(0, 2, 1)
