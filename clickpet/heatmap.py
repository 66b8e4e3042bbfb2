"""The heatmap that tells the network where the clicks are. Paper, section 2.2, "Heatmaps"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from clickpet.clicks import Clicks
from clickpet.errors import InputError

Sigma = float | tuple[float, float, float]
#: A window of the volume and the float64 values of a Gaussian in it.
Gaussian = tuple[tuple[slice, slice, slice], np.ndarray]


def draw_heatmap(
    suv: np.ndarray,
    clicks: Clicks,
    *,
    sigma_tumor: Sigma = 3.0,
    sigma_background: Sigma = 6.0,
    unit: str = "voxel",
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    suv_gate: float = 3.0,
    peak: str = "unit",
    compat: str = "paper",
    keep_clicked: bool = False,
    truncate: float = 4.0,
    border: str | None = None,
) -> np.ndarray:
    """Draw the heatmap of `clicks`: float32 (x, y, z) in [-1, 1], above 0 near tumour clicks, below near background.

    suv : (x, y, z), g/ml, any real dtype and memory layout;  sigma_tumor, sigma_background : one number or
    one per axis, in voxels or, with unit="mm", in millimetres of the grid with `spacing_mm`.

    Definition (paper, section 2.2), with "Gaussian" for scipy's `gaussian_filter` of an array that holds a
    single 1:

    - Tumour: for each click its own Gaussian, 0 where SUV < min(SUV at the click, `suv_gate`); their sum,
      clipped to [0, 1]. A voxel that was clicked twice counts twice.
    - Background: the Gaussian of one array with a 1 at every click (a voxel that was clicked twice counts
      once), clipped to [0, 1]; then 0 where the tumour map is above 0, but not at the clicks themselves with
      `keep_clicked`.
    - Heatmap: tumour - background. No clicks: zeros.

    peak : "unit" divides each Gaussian by its own maximum (after the gate), so that a click is a 1; "raw" is
    the paper to the letter, where a Gaussian of sigma 3 voxels never exceeds 0.0024.
    border : what the Gaussian meets at the edge of the grid, as scipy names it: "constant" (nothing: it is
    cut off) or "reflect" (it is thrown back). None: "constant" for the paper, "reflect" for released.
    truncate : Gaussians end at this many sigmas.

    compat="released" draws what the released weights were trained with (there `suv_gate` was 4): the
    background map is divided by its maximum (after it was set to 0 where tumour is) instead of each Gaussian
    by its own, clicked background voxels keep their value, and a study with background clicks only gets a
    positive map. Its 0/0 without clicks is zeros here.

    Only the windows that the Gaussians reach are computed. Raises InputError for options that make no sense
    and clicks outside the grid.
    """
    options = {
        "sigma_tumor": sigma_tumor,
        "sigma_background": sigma_background,
        "unit": unit,
        "spacing_mm": spacing_mm,
        "suv_gate": suv_gate,
        "peak": peak,
        "compat": compat,
        "keep_clicked": keep_clicked,
        "truncate": truncate,
        "border": border,
    }
    most = max(len(clicks.tumor), len(clicks.background))
    (_, heatmap), *_ = heatmap_steps(suv, clicks, [most], **options)
    return heatmap


def heatmap_steps(suv: np.ndarray, clicks: Clicks, steps: Iterable[int], **options) -> Iterator[tuple[int, np.ndarray]]:
    """Give (k, heatmap) for each k of `steps`: the heatmap of the first k tumour and first k background clicks.

    `options` are those of `draw_heatmap`. Each heatmap is a new array. Steps that grow (0..10) cost one
    Gaussian per new click; a step below the one before starts again.
    """
    canvas = None
    for k in steps:
        if canvas is None or k < canvas.drawn:
            canvas = _Canvas(suv, **options)
        canvas.draw(clicks, k)
        yield k, canvas.heatmap()


class _Canvas:
    """The sums of the Gaussians drawn so far."""

    def __init__(
        self,
        suv: np.ndarray,
        *,
        sigma_tumor: Sigma = 3.0,
        sigma_background: Sigma = 6.0,
        unit: str = "voxel",
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
        suv_gate: float = 3.0,
        peak: str = "unit",
        compat: str = "paper",
        keep_clicked: bool = False,
        truncate: float = 4.0,
        border: str | None = None,
    ):
        _one_of("heatmap.unit", unit, ("voxel", "mm"))
        _one_of("heatmap.peak", peak, ("unit", "raw"))
        _one_of("heatmap.compat", compat, ("paper", "released"))
        released = compat == "released"
        border = border or ("reflect" if released else "constant")
        _one_of("heatmap.border", border, ("constant", "reflect"))
        edges_mm = spacing_mm if unit == "mm" else (1.0, 1.0, 1.0)
        self.suv = suv
        self.suv_gate = float(suv_gate)
        self.sigmas = {
            "tumor": _per_axis("heatmap.sigma_tumor", sigma_tumor, edges_mm),
            "background": _per_axis("heatmap.sigma_background", sigma_background, edges_mm),
        }
        self.truncate, self.border = float(truncate), border
        self.unit_peak, self.released = peak == "unit", released
        self.keep_clicked = keep_clicked or released
        self.tumor, self.background = _zeros_like(suv), _zeros_like(suv)
        self.windows: list[tuple[slice, slice, slice]] = []
        self.background_voxels: dict[tuple[int, int, int], None] = {}  # a set that keeps its order
        self.drawn = 0

    def draw(self, clicks: Clicks, k: int) -> None:
        """Add the tumour and the background clicks number `drawn` .. k-1."""
        for kind in ("tumor", "background"):
            for voxel in getattr(clicks, kind)[self.drawn : k].tolist():
                self._check(voxel, kind)
                self._add_tumor(voxel) if kind == "tumor" else self._add_background(tuple(voxel))
        self.drawn = k

    def _check(self, voxel: list[int], kind: str) -> None:
        if not all(0 <= index < length for index, length in zip(voxel, self.suv.shape, strict=True)):
            size = "x".join(map(str, self.suv.shape))
            raise InputError(f"the {kind} click {voxel} is outside the grid {size}", mend="read clicks with their PET")

    def _add_tumor(self, voxel: list[int]) -> None:
        window, values = _gaussian(voxel, self.suv.shape, self.sigmas["tumor"], self.truncate, self.border)
        gate_suv = min(float(self.suv[tuple(voxel)]), self.suv_gate)
        values[self.suv[window] < gate_suv] = 0
        if self.unit_peak:
            values /= values.max()
        self.tumor[window] += values
        self.windows.append(window)

    def _add_background(self, voxel: tuple[int, int, int]) -> None:
        if voxel in self.background_voxels:
            return
        self.background_voxels[voxel] = None
        window, values = _gaussian(voxel, self.suv.shape, self.sigmas["background"], self.truncate, self.border)
        if self.unit_peak and not self.released:
            values /= values.max()
        self.background[window] += values
        self.windows.append(window)

    def heatmap(self) -> np.ndarray:
        """Tumour minus background, float32 (x, y, z), as a new array."""
        heatmap = _zeros_like(self.suv)
        divisor = self._background_maximum() if self.released and self.unit_peak else 1.0
        only_background = self.released and not any(self.tumor[window].any() for window in self.windows)
        sign = 1.0 if only_background else -1.0
        for window in self.windows:
            tumor, background = self._clipped(window)
            heatmap[window] = tumor + sign * background / divisor
        for voxel in self.background_voxels if self.keep_clicked else ():
            background = min(float(self.background[voxel]) / divisor, 1.0)
            heatmap[voxel] = min(float(self.tumor[voxel]), 1.0) + sign * background
        return heatmap

    def _clipped(self, window) -> tuple[np.ndarray, np.ndarray]:
        tumor, background = self.tumor[window], np.minimum(self.background[window], 1)
        background[tumor > 0] = 0
        return np.minimum(tumor, 1), background

    def _background_maximum(self) -> float:
        """Largest value of the background map that the heatmap will show, 1 if there is none."""
        largest = [float(self._clipped(window)[1].max()) for window in self.windows]
        largest += [float(self.background[voxel]) for voxel in self.background_voxels if self.keep_clicked]
        return max(largest, default=0.0) or 1.0


def _gaussian(
    voxel: Iterable[int], shape: tuple[int, ...], sigma_vox: tuple[float, ...], truncate: float, border: str
) -> Gaussian:
    """`scipy.ndimage.gaussian_filter` of a volume with a single 1 at `voxel`: the window where it is not 0.

    The filter is separable, so the values are the product of three filtered lines.
    """
    from scipy.ndimage import gaussian_filter1d

    window, lines = [], []
    for index, length, sigma in zip(voxel, shape, sigma_vox, strict=True):
        line = np.zeros(length)
        line[index] = 1
        if sigma > 1e-15:  # scipy leaves an axis with sigma 0 as it is
            line = gaussian_filter1d(line, sigma, mode=border, truncate=truncate)
        hit = np.flatnonzero(line)
        window.append(slice(int(hit[0]), int(hit[-1]) + 1))
        lines.append(line[window[-1]])
    x, y, z = lines
    values = x[:, None, None] * y[:, None] * z
    # far tails must not vanish in float32: "above 0" is part of the definition
    return tuple(window), np.maximum(values, np.finfo(np.float32).tiny)


def _zeros_like(suv: np.ndarray) -> np.ndarray:
    """Zeros that take no memory until they are written, in the memory layout of `suv`."""
    return np.zeros(suv.shape, np.float32, order="F" if suv.flags.f_contiguous else "C")


def _per_axis(name: str, sigma: Sigma, edges_mm: tuple[float, float, float]) -> tuple[float, ...]:
    sigmas = np.asarray(sigma, float)
    if sigmas.shape not in ((), (3,)) or not np.all(np.isfinite(sigmas)) or np.any(sigmas < 0):
        raise InputError(f"{name} is {sigma}", mend="give one number or three (x, y, z), none of them negative")
    return tuple((np.broadcast_to(sigmas, 3) / np.asarray(edges_mm, float)).tolist())


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}", mend=f"use one of {', '.join(allowed)}")
