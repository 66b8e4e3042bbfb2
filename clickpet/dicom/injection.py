"""The injected activity: its unit, and whether it is one that people are given."""

from __future__ import annotations

from dataclasses import dataclass

from clickpet.dicom.nuclides import ANY_MBQ_PER_KG, Nuclide

#: A dose below this is taken to be in MBq (DICOM wants Bq; 10 kBq is far below any injection).
DOSE_IS_MBQ_BELOW = 1e4
#: Bq in the units that a dose may have been typed in.
UNITS_BQ = {"Bq": 1.0, "kBq": 1e3, "MBq": 1e6, "GBq": 1e9, "uCi": 3.7e4, "mCi": 3.7e7}
#: Activities this many times outside of the usual range are refused whatever the unit.
ABSURD = 20.0


@dataclass(frozen=True)
class Dose:
    """bq : injected activity;  read_as : the unit it was read in;  concern : what is odd about it, or "".

    refused : whether it cannot be right as it was read.
    """

    bq: float
    read_as: str
    concern: str = ""
    refused: bool = False


def read_dose(value: float, weight_kg: float, nuclide: Nuclide | None) -> Dose:
    """RadionuclideTotalDose (0018,1074) as Bq, judged by activity per kg of body weight.

    Below DOSE_IS_MBQ_BELOW the value is MBq, else Bq. Where that is outside of what the nuclide is given in, and
    another unit would make it usual, the value is refused with that unit as the likely one.
    """
    read_as = "MBq" if value < DOSE_IS_MBQ_BELOW else "Bq"
    bq = value * UNITS_BQ[read_as]
    low, high = ANY_MBQ_PER_KG if nuclide is None else nuclide.mbq_per_kg
    per_kg = bq / 1e6 / weight_kg
    if low <= per_kg <= high:
        return Dose(bq, read_as)
    of = f" of {nuclide.name}" if nuclide else ""
    concern = f"{value:.10g}, read in {read_as}: {per_kg:.3g} MBq{of} per kg of body weight"
    concern += f", usual are {low:g} to {high:g}"
    likely = [
        f"{unit} ({value * factor / 1e6 / weight_kg:.2g} MBq per kg)"
        for unit, factor in UNITS_BQ.items()
        if unit != read_as and low <= value * factor / 1e6 / weight_kg <= high
    ]
    if likely:
        return Dose(bq, read_as, f"{concern}; it looks like {' or '.join(likely)}", refused=True)
    return Dose(bq, read_as, concern, refused=not low / ABSURD <= per_kg <= high * ABSURD)
