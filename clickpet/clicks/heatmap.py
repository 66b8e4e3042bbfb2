"""The heatmap that tells the network where the clicks are. Paper, section 2.2, "Heatmaps"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from clickpet.clicks.distance import distance_steps
from clickpet.clicks.gaussian import Brush, Gaussian
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.errors import InputError
from clickpet.geometry import spacing_mm

PAPER = HeatmapOptions()


def draw_heatmap(
    suv: np.ndarray, clicks: Clicks, options: HeatmapOptions = PAPER, *, affine: np.ndarray | None = None
) -> np.ndarray:
    """Draw the heatmap of `clicks`: float32 (x, y, z) in [-1, 1], above 0 near tumour clicks, below near background.

    suv : (x, y, z), g/ml, any real dtype and memory layout;  options : see `HeatmapOptions`, by default the paper's;
    affine : (4, 4), voxel to RAS+ mm, needed where the options are in millimetres.

    Definition (paper, section 2.2), with "Gaussian" for scipy's `gaussian_filter` of an array that holds a
    single 1:

    - Tumour: for each click its own Gaussian, 0 where SUV < min(SUV at the click, `suv_gate`); their sum,
      clipped to [0, 1]. A voxel that was clicked twice counts twice.
    - Background: the Gaussian of one array with a 1 at every click (a voxel that was clicked twice counts
      once), clipped to [0, 1]; then 0 where the tumour map is above 0, but not at the clicks themselves with
      `keep_clicked`.
    - Heatmap: tumour - background. No clicks: zeros.
    - A scribble counts as one click whose Gaussian is the maximum of those of its points (each of its own gate and
      peak): a tube. The same background scribble made twice counts once.

    compat="released" draws what the released weights were trained with (there `suv_gate` was 4): the
    background map is divided by its maximum (after it was set to 0 where tumour is) instead of each Gaussian
    by its own, clicked background voxels keep their value, and a study with background clicks only gets a
    positive map. Its 0/0 without clicks is zeros here.

    encoding="distance" draws something else: how near the nearest click is, see `clickpet.clicks.distance`.

    Only the windows that the Gaussians reach are computed. Raises InputError for clicks outside the grid, and for
    options in millimetres without an affine.
    """
    (_, heatmap), *_ = heatmap_steps(suv, clicks, [clicks.most], options, affine=affine)
    return heatmap


def heatmap_steps(
    suv: np.ndarray,
    clicks: Clicks,
    steps: Iterable[int],
    options: HeatmapOptions = PAPER,
    *,
    affine: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Give (k, heatmap) for each k of `steps`: the heatmap of `clicks.first(k)`.

    Other arguments are those of `draw_heatmap`. Each heatmap is a new array. Steps that grow (0..10) cost one
    Gaussian per new click; a step below the one before starts again.
    """
    if options.encoding == "distance":
        yield from _distances(suv, clicks, steps, options, affine)
        return
    canvas = None
    for k in steps:
        if canvas is None or k < canvas.drawn:
            canvas = _Canvas(suv, options, affine)
        canvas.add(clicks, k)
        yield k, canvas.heatmap()


def _distances(
    suv: np.ndarray, clicks: Clicks, steps: Iterable[int], options: HeatmapOptions, affine: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray]]:
    """`heatmap_steps` of the encoding "distance"."""
    if affine is None:
        raise InputError("distances to clicks need the size of a voxel", mend="give the affine of the PET")
    yield from distance_steps(
        suv.shape,
        clicks,
        steps,
        spacing_mm=spacing_mm(affine),
        distance_mm=options.distance_mm,
        order="F" if suv.flags.f_contiguous else "C",
    )


class _Canvas:
    """The Gaussians of the clicks so far, and the heatmap that they make."""

    def __init__(self, suv: np.ndarray, options: HeatmapOptions, affine: np.ndarray | None):
        self.suv = suv
        self.suv_gate = float(options.suv_gate)
        self.released = options.compat == "released"
        self.unit_peak = options.peak == "unit"
        border = options.border or ("reflect" if self.released else "constant")

        def brush(sigma, unit_peak):
            return Brush(suv.shape, options.sigma_vox(sigma, affine), float(options.truncate), border, unit_peak)

        self.tumor_brush = brush(options.sigma_tumor, self.unit_peak)
        self.background_brush = brush(options.sigma_background, self.unit_peak and not self.released)
        self.keep_clicked = options.keep_clicked or self.released
        self.tumor: list[Gaussian] = []
        self.background: dict[tuple, Gaussian] = {}  # one per set of voxels, in the order of the clicks
        self.drawn = 0

    def add(self, clicks: Clicks, k: int) -> None:
        """Add the Gaussians of the tumour and the background clicks number `drawn` .. k-1."""
        for points in clicks.of_kind("tumor")[self.drawn : k]:
            self._check(points, "tumor")
            self.tumor.append(self.tumor_brush.scribble(points, self.suv, self.suv_gate))
        for points in clicks.of_kind("background")[self.drawn : k]:
            self._check(points, "background")
            voxels = tuple(sorted(set(map(tuple, points.tolist()))))
            if voxels not in self.background:
                self.background[voxels] = self.background_brush.scribble(points)
        self.drawn = k

    def _check(self, points: np.ndarray, kind: str) -> None:
        outside = ~((points >= 0) & (points < self.suv.shape)).all(1)
        if outside.any():
            size = "x".join(map(str, self.suv.shape))
            raise InputError(
                f"the {kind} click {points[outside][0].tolist()} is outside the grid {size}",
                mend="read clicks with their PET",
            )

    def heatmap(self) -> np.ndarray:
        """Tumour minus background, float32 (x, y, z), as a new array in the memory layout of the SUV.

        Everything happens in the one array: what is above 0 is tumour, and background goes where nothing is.
        """
        heatmap = np.zeros(self.suv.shape, np.float32, order="F" if self.suv.flags.f_contiguous else "C")
        for window, values in self.tumor:
            heatmap[window] += values
        for window, _ in self.tumor:
            np.minimum(heatmap[window], 1, out=heatmap[window])
        voxels = [voxel for scribble in self.background for voxel in scribble] if self.keep_clicked else []
        clicked = {voxel: self._background_at(voxel) for voxel in voxels}
        self._subtract_background(heatmap, 1.0)
        divisor = 1.0
        if self.released and self.unit_peak:
            lowest = [float(heatmap[window].min()) for window, _ in self.background.values()]
            divisor = max([*clicked.values(), *(-low for low in lowest)], default=0.0) or 1.0
            for window, _ in self.background.values():
                np.maximum(heatmap[window], 0, out=heatmap[window])
            self._subtract_background(heatmap, divisor)
        for voxel, value in clicked.items():
            heatmap[voxel] = max(float(heatmap[voxel]), 0.0) - min(value / divisor, 1.0)
        if self.released and not self.tumor:
            for window, _ in self.background.values():
                np.abs(heatmap[window], out=heatmap[window])
        return heatmap

    def _subtract_background(self, heatmap: np.ndarray, divisor: float) -> None:
        for window, values in self.background.values():
            local = heatmap[window]
            np.subtract(local, values / divisor, out=local, where=local <= 0, casting="same_kind")
        for window, _ in self.background.values():
            np.maximum(heatmap[window], -1, out=heatmap[window])

    def _background_at(self, voxel: tuple[int, int, int]) -> float:
        """Value of the background map at one voxel."""
        total = 0.0
        for window, values in self.background.values():
            inside = tuple(index - part.start for index, part in zip(voxel, window, strict=True))
            if all(0 <= index < length for index, length in zip(inside, values.shape, strict=True)):
                total += float(values[inside])
        return min(total, 1.0)
