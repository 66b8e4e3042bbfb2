"""Maximum intensity projections: what the tracer discriminator sees, and a picture for people.

Paper, section 2.2, "Tracer Discriminator".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.files import replacing

VIEWS = ("coronal", "sagittal")
#: Colours of the picture, red, green, blue.
COLOURS = {"truth": (0, 158, 115), "prediction": (213, 94, 0), "tumor": (230, 0, 0), "background": (0, 90, 200)}
_ZOOM = 2
_GAP_PX = 8
_SLAB_BYTES = 24_000_000
_BAND = 48
#: Spline weights below this are left out (they are below the precision of float32).
_SMALLEST_WEIGHT = 1e-8


def render_mip(
    suv: np.ndarray,
    affine: np.ndarray,
    *,
    axis: str = "coronal",
    spacing_out_mm: float = 3.0,
    size: int = 224,
    method: str = "bspline",
    compat: str = "paper",
) -> np.ndarray:
    """Render the maximum intensity projection of a PET: float32 (size, size), raw SUV.

    suv : (x, y, z), g/ml, finite, any real dtype, orientation and memory layout;  affine : (4, 4), voxel index
    to RAS+ mm. An oblique grid counts as the straight one nearest to it.

    The volume is resampled to `spacing_out_mm` along each axis ("bspline": cubic, as SimpleITK's sitkBSpline;
    or "linear"), from the centre of its first voxel (right, posterior, inferior), to round(length / spacing)
    samples, 0 beyond the last voxel's edge; then comes the maximum along the axis of the view, then the
    centred crop of `size` pixels, padded with 0 on both sides where the patient is smaller.

    Row 0 is the top of the head. Coronal: the patient faces the reader, so column 0 is the patient's right.
    Sagittal: column 0 is anterior. The picture does not depend on how the file is oriented.

    compat="released" gives the array that the released tracer weights expect: row 0 at the feet, padding only
    at the end of rows and columns.

    Only the samples in the crop are computed, as products of one spline matrix per axis. Largest difference
    to SimpleITK: 1e-5 of the largest SUV.
    """
    _check_options(axis, method, compat, size, spacing_out_mm)
    frame = _Frame.of(suv.shape, affine, axis, spacing_out_mm, size, compat)
    las = frame.straighten(suv)
    across, projected = frame.axes  # array axes of the columns and of the projection
    weigh = _spline_weights if method == "bspline" else _linear_weights
    to_rows = weigh(las.shape[2], frame.spacing_mm[2], spacing_out_mm)[frame.rows]
    to_columns = weigh(las.shape[across], frame.spacing_mm[across], spacing_out_mm)[frame.columns]
    to_depth = weigh(las.shape[projected], frame.spacing_mm[projected], spacing_out_mm)

    picture = np.full((len(to_columns), len(to_rows)), -np.inf, np.float32)
    for rows, slab in _slabs(las.transpose(2, projected, across), to_rows):  # (rows, depth, columns)
        lines = slab.reshape(-1, slab.shape[2])
        resampled = np.empty((len(to_columns), len(lines)), np.float32)
        for some, used, weights in _bands(to_columns):
            np.matmul(weights, lines[:, used].T, out=resampled[some])
        lines = resampled.reshape(-1, slab.shape[1])  # (columns and rows, depth)
        highest = np.full(len(lines), -np.inf, np.float32)
        for _, used, weights in _bands(to_depth):
            np.maximum(highest, (lines[:, used] @ weights.T).max(axis=1), out=highest)
        picture[:, rows] = highest.reshape(len(to_columns), -1)
    return frame.place(picture.T)


def mip_positions(
    voxels: np.ndarray,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    *,
    axis: str = "coronal",
    spacing_out_mm: float = 3.0,
    size: int = 224,
) -> np.ndarray:
    """Where voxels (n, 3) of a volume come to lie in its `render_mip`: float (n, 2), row and column.

    Positions beyond the picture are negative or at least `size`.
    """
    _check_options(axis, "bspline", "paper", size, spacing_out_mm)
    frame = _Frame.of(shape, affine, axis, spacing_out_mm, size, "paper")
    return frame.positions(np.asarray(voxels, float).reshape(-1, 3))


def project_mask(
    mask: np.ndarray, affine: np.ndarray, *, axis: str = "coronal", spacing_out_mm: float = 3.0, size: int = 224
) -> np.ndarray:
    """Project a mask (x, y, z) onto the picture of `render_mip`: bool (size, size), nearest neighbour."""
    _check_options(axis, "bspline", "paper", size, spacing_out_mm)
    frame = _Frame.of(mask.shape, affine, axis, spacing_out_mm, size, "paper")
    las = frame.straighten(mask)
    across, projected = frame.axes
    shadow = (las != 0).any(axis=projected)  # (column, row)
    rows = _nearest(frame.rows, las.shape[2], frame.spacing_mm[2], spacing_out_mm)
    columns = _nearest(frame.columns, las.shape[across], frame.spacing_mm[across], spacing_out_mm)
    return frame.place(shadow[np.ix_(columns, rows)].T)


def save_mip_png(
    path: str | Path,
    coronal: np.ndarray,
    sagittal: np.ndarray,
    *,
    suv_max: float = 10.0,
    truth: tuple[np.ndarray, np.ndarray] | None = None,
    prediction: tuple[np.ndarray, np.ndarray] | None = None,
    tumor_clicks: tuple[np.ndarray, np.ndarray] | None = None,
    background_clicks: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Write both projections side by side as a PNG for people: SUV 0 white, `suv_max` and more black.

    coronal, sagittal : (size, size), SUV, as `render_mip` gives them.  Overlays are pairs, for the coronal and the
    sagittal view: truth, prediction : bool (size, size) of `project_mask`, drawn as contours;  tumor_clicks,
    background_clicks : float (n, 2) of `mip_positions`, drawn as plus and minus signs.
    """
    from PIL import Image, ImageDraw

    if not suv_max > 0:
        raise InputError(f"suv_max is {suv_max}", mend="give the SUV that is to be black")
    halves = []
    for view, (picture, letters) in enumerate(((coronal, "RL"), (sagittal, "AP"))):
        grey = 255 - np.round(np.clip(np.nan_to_num(picture), 0, suv_max) * (255 / suv_max)).astype(np.uint8)
        half = np.repeat(_zoomed(grey)[:, :, None], 3, axis=2)
        for name, masks in (("truth", truth), ("prediction", prediction)):
            if masks is not None:
                half[_outline(_zoomed(masks[view]))] = COLOURS[name]
        half = Image.fromarray(half)
        draw = ImageDraw.Draw(half)
        for name, clicks in (("tumor", tumor_clicks), ("background", background_clicks)):
            for row, column in [] if clicks is None else (np.asarray(clicks[view]) + 0.5) * _ZOOM:
                draw.line((column - 5, row, column + 5, row), fill=COLOURS[name], width=2)
                if name == "tumor":
                    draw.line((column, row - 5, column, row + 5), fill=COLOURS[name], width=2)
        draw.text((4, 4), letters[0], fill=(90, 90, 90))
        draw.text((half.width - 12, 4), letters[1], fill=(90, 90, 90))
        halves.append(half)
    sheet = Image.new(
        "RGB", (halves[0].width + _GAP_PX + halves[1].width, max(half.height for half in halves)), "white"
    )
    sheet.paste(halves[0], (0, 0))
    sheet.paste(halves[1], (halves[0].width + _GAP_PX, 0))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _zoomed(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of `mask` with a neighbour (above, below, left, right) that is not in it."""
    inner = np.pad(mask, 1)
    core = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return mask & ~core


def _check_options(axis: str, method: str, compat: str, size: int, spacing_out_mm: float) -> None:
    for name, value, allowed in (
        ("mip axis", axis, VIEWS),
        ("mip method", method, ("bspline", "linear")),
        ("mip compat", compat, ("paper", "released")),
    ):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}", mend=f"use one of {', '.join(allowed)}")
    if size < 1 or not spacing_out_mm > 0:
        raise InputError(f"mip of {size} pixels at {spacing_out_mm} mm", mend="give a positive size and spacing")


@dataclass(frozen=True)
class _Frame:
    """How a volume comes to lie in its picture.

    All of it in LAS order (x to the left, y to the front, z to the head), which is how autoPET is stored.
    """

    order: tuple[int, int, int]  # stored axis of each LAS axis
    turned: tuple[bool, bool, bool]  # whether the stored axis runs against the LAS axis
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    spacing_out_mm: float
    axes: tuple[int, int]  # columns, projection
    rows: slice  # samples along z that the crop keeps
    columns: slice
    size: int
    compat: str

    @classmethod
    def of(cls, shape, affine, axis, spacing_out_mm, size, compat) -> _Frame:
        import nibabel as nib

        las = nib.orientations.axcodes2ornt("LAS")
        there = nib.orientations.ornt_transform(las, nib.orientations.io_orientation(affine))
        order = tuple(int(stored) for stored in there[:, 0])
        turned = tuple(bool(direction < 0) for direction in there[:, 1])
        edges_mm = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
        straight_shape = tuple(int(shape[stored]) for stored in order)
        straight_mm = tuple(float(edges_mm[stored]) for stored in order)
        axes = (0, 1) if axis == "coronal" else (1, 0)
        crop = [_crop(straight_shape[a], straight_mm[a], spacing_out_mm, size) for a in (2, axes[0])]
        return cls(order, turned, straight_shape, straight_mm, spacing_out_mm, axes, *crop, size, compat)

    def straighten(self, array: np.ndarray) -> np.ndarray:
        """`array` in LAS order: a view."""
        flips = tuple(slice(None, None, -1 if turned else 1) for turned in self.turned)
        return array.transpose(self.order)[flips]

    def place(self, picture: np.ndarray) -> np.ndarray:
        """The cropped `picture` (rows from the feet, columns in LAS order) on its square canvas."""
        canvas = np.zeros((self.size, self.size), picture.dtype)
        top, left = self.padding
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        if self.compat == "released":
            return canvas
        flipped = canvas[::-1] if self.axes == (0, 1) else canvas[::-1, ::-1]
        return np.ascontiguousarray(flipped)

    @property
    def padding(self) -> tuple[int, int]:
        if self.compat == "released":
            return 0, 0
        return tuple((self.size - (part.stop - part.start)) // 2 for part in (self.rows, self.columns))

    def positions(self, voxels: np.ndarray) -> np.ndarray:
        straight = voxels[:, self.order].copy()
        for axis, turned in enumerate(self.turned):
            if turned:
                straight[:, axis] = self.shape[axis] - 1 - straight[:, axis]
        samples = straight * np.array(self.spacing_mm) / self.spacing_out_mm
        top, left = self.padding
        rows = samples[:, 2] - self.rows.start + top
        columns = samples[:, self.axes[0]] - self.columns.start + left
        if self.axes != (0, 1):
            columns = self.size - 1 - columns
        return np.column_stack([self.size - 1 - rows, columns])


def _samples(length: int, spacing_mm: float, spacing_out_mm: float) -> int:
    """Number of samples along an axis after resampling."""
    return max(1, int(np.round(length * (spacing_mm / spacing_out_mm))))


def _crop(length: int, spacing_mm: float, spacing_out_mm: float, size: int) -> slice:
    """The centred part of the samples of an axis that fits into `size`."""
    samples = _samples(length, spacing_mm, spacing_out_mm)
    start = max(0, samples // 2 - size // 2)
    return slice(start, min(samples, start + size))


def _nearest(part: slice, length: int, spacing_mm: float, spacing_out_mm: float) -> np.ndarray:
    """Index of the voxel nearest to each sample of `part`."""
    positions = np.arange(part.start, part.stop) * (spacing_out_mm / spacing_mm)
    return np.clip(np.floor(positions + 0.5), 0, length - 1).astype(int)


def _spline_weights(length: int, spacing_mm: float, spacing_out_mm: float) -> np.ndarray:
    """Matrix (samples, voxels), float32: cubic B-spline interpolation, mirrored at the first and last voxel.

    The product of the sampled B-splines and the inverse of B-splines at the voxels.
    """
    positions, inside = _sample_positions(length, spacing_mm, spacing_out_mm)
    if length == 1:
        return inside[:, None].astype(np.float32)
    from scipy.ndimage import spline_filter1d

    coefficients = spline_filter1d(np.eye(length), order=3, axis=0, mode="mirror")
    basis = np.zeros((len(positions), length))
    first = np.floor(positions).astype(int) - 1
    for tap in range(4):
        index = first + tap
        distance = np.abs(positions - index)
        weight = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6)
        period = 2 * (length - 1)
        index = np.abs((index + length - 1) % period - (length - 1))
        np.add.at(basis, (np.arange(len(positions)), index), weight * inside)
    weights = basis @ coefficients
    weights[np.abs(weights) < _SMALLEST_WEIGHT] = 0
    return weights.astype(np.float32)


def _linear_weights(length: int, spacing_mm: float, spacing_out_mm: float) -> np.ndarray:
    """Matrix (samples, voxels), float32: linear interpolation, constant beyond the first and last centre."""
    positions, inside = _sample_positions(length, spacing_mm, spacing_out_mm)
    positions = np.clip(positions, 0, length - 1)
    weights = np.clip(1 - np.abs(positions[:, None] - np.arange(length)), 0, None)
    return (weights * inside[:, None]).astype(np.float32)


def _sample_positions(length: int, spacing_mm: float, spacing_out_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples in voxels, and which of them lie inside the volume."""
    positions = np.arange(_samples(length, spacing_mm, spacing_out_mm)) * (spacing_out_mm / spacing_mm)
    nearest = np.rint(positions)
    positions = np.where(np.abs(positions - nearest) < 1e-6, nearest, positions)
    return positions, positions < length - 0.5


def _bands(weights: np.ndarray):
    """Cut a matrix (samples, voxels) into (samples, voxels that they need, the matrix of both), as slices."""
    for start in range(0, len(weights), _BAND):
        band = weights[start : start + _BAND]
        used = np.flatnonzero(band.any(axis=0))
        needed = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        yield slice(start, start + len(band)), needed, np.ascontiguousarray(band[:, needed])


def _slabs(volume: np.ndarray, to_rows: np.ndarray):
    """Give (rows, float32 (rows, depth, columns)): `volume` (z, depth, column) resampled along z, slab by slab."""
    straight = np.count_nonzero(to_rows, axis=1).max() == 1 and np.all(to_rows.max(axis=1) == 1)
    thick = max(1, _SLAB_BYTES // (volume[0].size * 4))
    for start in range(0, len(to_rows), thick):
        weights = to_rows[start : start + thick]
        rows = slice(start, start + len(weights))
        if straight:  # the samples are voxels
            yield rows, np.ascontiguousarray(volume[weights.argmax(axis=1)], np.float32)
            continue
        used = np.flatnonzero(weights.any(axis=0))
        needed = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        slab = np.ascontiguousarray(volume[needed], np.float32)
        resampled = weights[:, needed] @ slab.reshape(len(slab), -1)
        yield rows, resampled.reshape(len(weights), *slab.shape[1:])
