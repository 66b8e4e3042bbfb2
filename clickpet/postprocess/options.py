"""Options of post-processing: which components go, and whether clicks are honoured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from clickpet.errors import InputError


@dataclass(frozen=True)
class PostprocessOptions:
    """The `postprocess` keys of the config; the defaults are the paper's (section 2.2, "Post-Processing").

    min_voxels, min_suv_max (g/ml), min_volume_mm3 : of `drop_faint_specks`;  min_component_suv_max (g/ml),
    min_component_probability : of `drop_weak_components`, 0 for neither;  component_limits_after_click : tumour clicks
    (or scribbles) from which on these two hold, 0 for always;  min_unclicked_ml : a prediction that is smaller is
    emptied while nobody clicked a tumour, 0 for never;  honour_clicks : whether `honour_clicks` runs, with grow_share
    and grow_ml for the lesions that it grows.

    Raises InputError, with the key, for a value outside its limits.
    """

    min_voxels: int = 10
    min_suv_max: float = 4.0
    min_volume_mm3: float | None = None
    min_component_suv_max: float = 0.0
    min_component_probability: float = 0.0
    component_limits_after_click: int = 0
    min_unclicked_ml: float = 0.0
    honour_clicks: bool = False
    grow_share: float = 0.5
    grow_ml: float = 10.0

    def __post_init__(self):
        for name in ("min_voxels", "min_suv_max", "min_component_suv_max", "min_unclicked_ml"):
            _require(name, getattr(self, name), low=0)
        if self.min_volume_mm3 is not None:
            _require("min_volume_mm3", self.min_volume_mm3, low=0)
        _require("min_component_probability", self.min_component_probability, low=0, high=1)
        _require("grow_share", self.grow_share, low=0, high=1)
        _require("grow_ml", self.grow_ml, low=0)
        _require("component_limits_after_click", self.component_limits_after_click, low=0)
        if not isinstance(self.honour_clicks, bool):
            raise InputError(f"postprocess.honour_clicks is {self.honour_clicks!r}", mend="give true or false")

    @classmethod
    def from_mapping(cls, mapping: Mapping) -> PostprocessOptions:
        """The options that a mapping such as `config["postprocess"]` holds; what is left out has its default.

        Raises InputError for a key that is not known and for a value outside its limits.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(mapping) - set(known))
        if unknown:
            raise InputError(f"postprocess.{unknown[0]} is no option", mend=f"give one of {', '.join(known)}")
        return cls(**mapping)

    @property
    def needs_clicks(self) -> bool:
        """Whether the clicks of a study decide what its mask becomes."""
        after_click = self.component_limits_after_click > 0 and self.limits_components
        return self.honour_clicks or self.min_unclicked_ml > 0 or after_click

    @property
    def limits_components(self) -> bool:
        """Whether components of any size go by their SUVmax or probability."""
        return self.min_component_suv_max > 0 or self.min_component_probability > 0

    @property
    def needs_probability(self) -> bool:
        """Whether the mean lesion probability of each component decides."""
        return self.min_component_probability > 0


def _require(name: str, value: object, *, low: float, high: float = math.inf) -> None:
    """InputError unless `value` is a finite number from `low` to `high`."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        limits = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise InputError(f"postprocess.{name} is {value!r}", mend=f"give a number {limits}")
