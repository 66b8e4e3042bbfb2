"""Record of how a PET series became SUV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SuvAudit:
    """How a series became SUV: the factor and every value and rule that went into it; nothing that identifies.

    factors : float64 (slices,), g/ml per stored unit, in the order of the headers; multiply the rescaled pixels by it.
    warnings : what was odd about the headers;  doubts : those of them that make the SUV doubtful.
    delta_t_s : float64 (slices,), injection to decay reference; None where no decay had to be computed.
    """

    units: str
    rule: str
    factors: np.ndarray
    timing: str
    decay_correction: str | None = None
    suv_type: str | None = None
    conversion: str | None = None
    delta_t_s: np.ndarray | None = None
    half_life_s: float | None = None
    dose_bq: float | None = None
    dose_read_as: str | None = None
    weight_kg: float | None = None
    height_m: float | None = None
    vendor_scale: float | None = None
    vendor: str = "unknown"
    corrections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def factor(self) -> float:
        """The factor of the first slice; of all slices unless `varies`."""
        return float(self.factors[0])

    @property
    def varies(self) -> bool:
        """True if slices have different factors."""
        return bool(np.ptp(self.factors) > 1e-9 * np.max(self.factors))

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values; no dates, no times of day, no identifiers."""
        record = {
            "target": "SUVbw",
            "rule": self.rule,
            "timing": self.timing,
            "units": self.units,
            "suv_type": self.suv_type,
            "conversion": self.conversion,
            "decay_correction": self.decay_correction,
            "factor": self.factor,
            "delta_t_s": None if self.delta_t_s is None else round(float(self.delta_t_s[0]), 3),
            "half_life_s": self.half_life_s,
            "dose_bq": self.dose_bq,
            "dose_read_as": self.dose_read_as,
            "weight_kg": self.weight_kg,
            "height_m": self.height_m,
            "vendor_scale": self.vendor_scale,
            "vendor": self.vendor,
            "corrections": list(self.corrections),
            "slices": len(self.factors),
            "tags": list(self.tags),
            "warnings": list(self.warnings),
        }
        if self.varies:
            record["factor_range"] = [float(self.factors.min()), float(self.factors.max())]
        if self.delta_t_s is not None and np.ptp(self.delta_t_s) > 0:
            record["delta_t_range_s"] = [round(float(edge), 3) for edge in (self.delta_t_s.min(), self.delta_t_s.max())]
        return record
