"""Options of click heatmaps, as in the section `heatmap` of the config and in the settings of trained models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING

from clickpet.errors import InputError

if TYPE_CHECKING:
    import numpy as np

Sigma = float | tuple[float, float, float]
_CHOICES = {
    "unit": ("voxel", "mm"),
    "peak": ("unit", "raw"),
    "compat": ("paper", "released"),
    "border": (None, "constant", "reflect"),
    "encoding": ("gaussian", "distance"),
}
#: Options that no config key sets.
_FIXED = ("truncate", "border")


def _is_not_negative(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


@dataclass(frozen=True)
class HeatmapOptions:
    """How clicks become a heatmap; the defaults are the paper's. `clickpet.clicks.heatmap.draw_heatmap` defines it.

    sigma_tumor, sigma_background : of the Gaussians, one number or three, in `unit`: "voxel" or "mm". Three are along
    left, anterior and superior, in whichever order the axes of a study are stored.
    suv_gate : g/ml; a tumour click's Gaussian is 0 where the SUV is below the gate and below that at the click.
    peak : "unit" divides each Gaussian by its own maximum (after the gate), so that a click is a 1; "raw" is the paper
    to the letter, where a Gaussian of sigma 3 voxels never exceeds 0.0024.
    compat : "paper", or "released" for what the released weights were trained with.
    keep_clicked : clicked background voxels keep their value where the tumour map is above 0.
    truncate : Gaussians end at this many sigmas.
    border : what a Gaussian meets at the edge of the grid, as scipy names it: "constant" (nothing: it is cut off) or
    "reflect" (it is thrown back). None: "constant" for the paper, "reflect" for released.
    encoding : "gaussian" as above, or "distance": how near the nearest click is, as `clickpet.clicks.distance` defines
    it, truncated at `distance_mm`; the other options then have no effect.

    Raises InputError for values that make no sense.
    """

    sigma_tumor: Sigma = 3
    sigma_background: Sigma = 6
    unit: str = "voxel"
    suv_gate: float = 3
    peak: str = "unit"
    compat: str = "paper"
    keep_clicked: bool = False
    truncate: float = 4
    border: str | None = None
    encoding: str = "gaussian"
    distance_mm: float = 30

    def __post_init__(self):
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = ", ".join(choice for choice in allowed if choice)
                raise InputError(f"heatmap.{name} is {getattr(self, name)!r}", mend=f"use one of {choices}")
        for name in ("sigma_tumor", "sigma_background"):
            sigma = getattr(self, name)
            several = isinstance(sigma, list | tuple)
            if not all(map(_is_not_negative, sigma if several else [sigma])) or (several and len(sigma) != 3):
                raise InputError(
                    f"heatmap.{name} is {sigma}", mend="give one number or three (x, y, z), none of them negative"
                )
            if several:
                object.__setattr__(self, name, tuple(sigma))
        for name in ("suv_gate", "truncate"):
            if not _is_not_negative(getattr(self, name)):
                raise InputError(
                    f"heatmap.{name} is {getattr(self, name)!r}", mend="give a number that is not negative"
                )
        if not _is_not_negative(self.distance_mm) or self.distance_mm == 0:
            raise InputError(f"heatmap.distance_mm is {self.distance_mm!r}", mend="give a number above 0")

    @classmethod
    def from_mapping(cls, given: Mapping, *, where: object = None) -> HeatmapOptions:
        """Options from a config section or a record of settings; InputError (at `where`) names an unknown option."""
        unknown = sorted(set(map(str, given)) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"has unknown heatmap options: {', '.join(unknown)}", where=where)
        try:
            return cls(**given)
        except InputError as error:
            raise InputError(str(error), where=where) from None

    def as_config(self) -> dict:
        """The section `heatmap` of a config that has these options."""
        values = {name: value for name, value in asdict(self).items() if name not in _FIXED}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def is_additive(self) -> bool:
        """Whether an interaction can be added to a heatmap that is drawn already, without those that made it."""
        return self.encoding == "distance" or not (self.compat == "released" or self.keep_clicked)

    def sigma_vox(self, sigma: Sigma, affine: np.ndarray | None) -> tuple[float, float, float]:
        """A sigma in voxels along the axes of the grid with `affine`; InputError if it is in mm and there is none.

        Without an affine three numbers are along the array's own axes.
        """
        from clickpet.geometry import Turn, spacing_mm

        sigmas = sigma if isinstance(sigma, tuple) else (sigma,) * 3
        if affine is not None and len(set(sigmas)) > 1:
            sigmas = [sigmas[int(axis)] for axis in Turn.between(affine).steps[:, 0]]
        if self.unit == "voxel":
            return tuple(float(one) for one in sigmas)
        if affine is None:
            raise InputError("heatmaps in mm need the size of a voxel", mend="give the affine of the PET")
        return tuple(float(one) / edge for one, edge in zip(sigmas, spacing_mm(affine), strict=True))


#: What the released weights were trained with (docs/deviations.md).
RELEASED_HEATMAP = HeatmapOptions(suv_gate=4, compat="released", keep_clicked=True)
