"""Header values of a plain PET series as plain mappings, and the SUV factor by its formula."""

from __future__ import annotations

HALF_LIFE_S = 6586.2
PLAIN = {
    "Modality": "PT",
    "Units": "BQML",
    "CorrectedImage": ["ATTN", "DECY"],
    "DecayCorrection": "START",
    "SeriesDate": "20200101",
    "SeriesTime": "110000",
    "AcquisitionDate": "20200101",
    "AcquisitionTime": "110500",
    "PatientWeight": 70,
    "PatientSize": 1.7,
    "PatientSex": "F",
    "RadionuclideTotalDose": 350e6,
    "RadionuclideHalfLife": HALF_LIFE_S,
    "RadiopharmaceuticalStartTime": "100000",
    "RadiopharmaceuticalStartDateTime": "20200101100000",
}


def header(**changes):
    """The plain header with `changes`; None removes."""
    return {key: value for key, value in {**PLAIN, **changes}.items() if value is not None}


def formula(delta_t_s, *, weight_kg=70.0, dose_bq=350e6, half_life_s=HALF_LIFE_S):
    """SUV by body weight of 1 Bq/ml, `delta_t_s` seconds after the injection."""
    return weight_kg * 1000 / (dose_bq * 2 ** (-delta_t_s / half_life_s))
