"""Gaussians of clicks and the tubes of scribbles, each in the window of the volume that it reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

#: A window of the volume and the float64 values in it.
Gaussian = tuple[tuple[slice, slice, slice], np.ndarray]
#: The part of an axis that the Gaussian of a click reaches, and its values there.
Line = tuple[slice, np.ndarray]
#: far tails must not vanish in float32: "above 0" is part of the definition
_TINY = np.finfo(np.float32).tiny


@dataclass
class Brush:
    """What draws the Gaussians of one kind of click on one grid.

    shape : of the grid;  sigma_vox : along its axes;  truncate : Gaussians end at this many sigmas;  border : what they
    meet at the edge of the grid, as scipy names it;  unit_peak : each Gaussian is divided by its own maximum.
    """

    shape: tuple[int, ...]
    sigma_vox: tuple[float, ...]
    truncate: float
    border: str
    unit_peak: bool
    _lines: dict[tuple[int, int], Line] = field(default_factory=dict)
    _inner: dict[int, tuple[int, Line]] = field(default_factory=dict)
    _last_divided: tuple = (None, None)
    _products: dict[tuple[bytes, ...], np.ndarray] = field(default_factory=dict)

    def click(self, voxel: tuple[int, int, int], suv: np.ndarray | None = None, suv_gate: float = 0) -> Gaussian:
        """`scipy.ndimage.gaussian_filter` of a volume with a single 1 at `voxel`: the window where it is not 0.

        The filter is separable, so the values are the product of three filtered lines. With `suv` it is 0 where
        SUV < min(SUV at the voxel, `suv_gate`).
        """
        window, values = self._ungated(voxel)
        if suv is not None:
            values = np.where(suv[window] < min(float(suv[voxel]), suv_gate), 0, values)
        return window, values / values.max() if self.unit_peak else values

    def scribble(self, points: np.ndarray, suv: np.ndarray | None = None, suv_gate: float = 0) -> Gaussian:
        """Maximum over the Gaussians of the `points`, int64 (n, 3): a tube. One point gives its click, bit for bit.

        Points that share their gate are drawn together, slice by slice: a maximum of products of lines is the product
        of maxima of lines, axis by axis.
        """
        voxels = list(dict.fromkeys(map(tuple, points.tolist())))
        if len(voxels) == 1:
            return self.click(voxels[0], suv, suv_gate)
        window = tuple(self._reach(axis, points[:, axis].tolist()) for axis in range(3))
        tube = np.zeros([part.stop - part.start for part in window], order="F")
        together, alone = self._sorted_by_gate(voxels, suv, suv_gate)
        self._draw_together(tube, together, window)
        if together and suv is not None:
            tube[suv[window] < suv_gate] = 0
        for voxel in alone:
            if self.unit_peak and not self._is_centred(voxel):
                part, values = self.click(voxel, suv, suv_gate)
            else:
                part, values = self._divided(voxel)
                values = values * ~(suv[part] < min(float(suv[voxel]), suv_gate))
            local = tube[_inside(part, window)]
            np.maximum(local, values, out=local)
        return window, tube

    def _sorted_by_gate(self, voxels: list, suv: np.ndarray | None, suv_gate: float) -> tuple[list, list]:
        """Voxels that may be drawn together: those of one gate whose Gaussian is largest in the voxel itself."""
        if suv is None:
            return voxels, []
        together, alone = [], []
        for voxel in voxels:
            fits = float(suv[voxel]) >= suv_gate and (not self.unit_peak or self._is_centred(voxel))
            (together if fits else alone).append(voxel)
        return together, alone

    def _is_centred(self, voxel: tuple[int, int, int]) -> bool:
        lines = [self._line(axis, index) for axis, index in enumerate(voxel)]
        peaks = [values[index - part.start] == values.max() for index, (part, values) in zip(voxel, lines, strict=True)]
        return all(peaks)

    def _draw_together(self, tube: np.ndarray, voxels: list, window: tuple[slice, ...]) -> None:
        """Draw the maximum of the ungated Gaussians of `voxels` into `tube`, the zeros of the `window`."""
        slices: dict[int, dict[int, list[int]]] = {}
        for x, y, z in voxels:
            slices.setdefault(z, {}).setdefault(y, []).append(x)
        for z, rows in slices.items():
            reach = (self._reach(0, [x for xs in rows.values() for x in xs]), self._reach(1, rows), self._reach(2, [z]))
            plane = np.zeros([part.stop - part.start for part in reach[:2]], order="F")
            for y, xs in rows.items():
                line = np.zeros(len(plane))
                for x in xs:
                    (part,), values = self._peaked(0, x, reach)
                    np.maximum(line[part], values, out=line[part])
                (part,), values = self._peaked(1, y, reach)
                np.maximum(plane[:, part], line[:, None] * values, out=plane[:, part])
            _, values = self._peaked(2, z, reach)
            slab = (values[:, None, None] * plane.T).T
            np.maximum(slab, _TINY, out=slab, where=slab > 0)
            local = tube[_inside(reach, window)]
            np.maximum(local, slab, out=local)

    def _reach(self, axis: int, indices: Iterable[int]) -> slice:
        """The part of an axis that the Gaussians of clicks at `indices` reach."""
        return slice(self._line(axis, min(indices))[0].start, self._line(axis, max(indices))[0].stop)

    def _peaked(self, axis: int, index: int, window: tuple[slice, ...]) -> tuple[tuple[slice], np.ndarray]:
        """The line of `_line` as seen from the `window`, divided by its maximum where Gaussians are."""
        part, values = self._line(axis, index)
        return _inside((part,), window[axis : axis + 1]), values / values.max() if self.unit_peak else values

    def _divided(self, voxel: tuple[int, int, int]) -> Gaussian:
        """The ungated Gaussian of a click that is largest in its own voxel, divided by its maximum if `unit_peak`."""
        window, values = self._ungated(voxel)
        if self.unit_peak and self._last_divided[0] is not values:
            self._last_divided = values, values / values.max()
        return window, self._last_divided[1] if self.unit_peak else values

    def _ungated(self, voxel: tuple[int, int, int]) -> Gaussian:
        """The Gaussian of a click, neither gated nor divided; far from the grid's edges clicks share its values."""
        window, lines = zip(*(self._line(axis, index) for axis, index in enumerate(voxel)), strict=True)
        key = tuple(values.tobytes() for values in lines)
        if key not in self._products:
            x, y, z = lines
            self._products = {key: np.maximum((z[:, None, None] * y[:, None] * x).T, _TINY)}
        return window, self._products[key]

    def _line(self, axis: int, index: int) -> Line:
        """A line of zeros with a single 1 at `index`, filtered: the part where it is not 0.

        Away from the ends all lines of an axis hold the same values, and one of them is filtered.
        """
        if (axis, index) not in self._lines:
            reach = int(self.truncate * self.sigma_vox[axis] + 0.5)  # of scipy's filter
            inner = self._inner.get(axis)
            if inner is None or not reach <= index < self.shape[axis] - reach:
                line = self._filtered(axis, index)
                if reach <= index < self.shape[axis] - reach:
                    self._inner[axis] = index, line
            else:
                shift = index - inner[0]
                line = slice(inner[1][0].start + shift, inner[1][0].stop + shift), inner[1][1]
            self._lines[axis, index] = line
        return self._lines[axis, index]

    def _filtered(self, axis: int, index: int) -> Line:
        line, sigma = np.zeros(self.shape[axis]), self.sigma_vox[axis]
        line[index] = 1
        if sigma > 1e-15:  # scipy leaves an axis with sigma 0 as it is
            line = gaussian_filter1d(line, sigma, mode=self.border, truncate=self.truncate)
        hit = np.flatnonzero(line)
        part = slice(int(hit[0]), int(hit[-1]) + 1)
        return part, line[part]


def _inside(part: Iterable[slice], window: Iterable[slice]) -> tuple[slice, ...]:
    """A part of the volume as seen from the start of the `window` around it."""
    return tuple(
        slice(one.start - whole.start, one.stop - whole.start) for one, whole in zip(part, window, strict=True)
    )
