"""Limits of the quality control: defaults of the config section `quality`."""

from __future__ import annotations

#: Defaults of the config section `quality`. Pairs are the lowest and highest value that raise no finding.
THRESHOLDS = {
    "spacing_mm": (0.5, 8.0),  # edges of a voxel
    "min_extent_mm": 700.0,  # of the body along z: skull base to thigh is about 900
    "suv_max": (1.0, 1000.0),  # g/ml, highest voxel: soft
    "suv_max_hard": (0.2, 5000.0),  # g/ml: hard; counts and Bq/ml are above, activity fractions below
    "body_suv_mean": (0.2, 3.0),  # g/ml: an SUV is normalised so that the mean of a whole body is about 1
    "liver_suv_mean": {"fdg": (1.0, 4.0), "psma": (1.5, 25.0)},  # g/ml; 18F-PSMA-1007 is excreted by the liver
    "max_lesions": 500,
    "max_lesion_ml": 5000.0,  # of all lesions together
    "faint_lesion_suv": 1.5,  # g/ml: lesions whose highest voxel is below
    "lesion_air_share": (0.1, 0.5),  # of the lesion voxels in air: soft, hard
    "click_miss_share": 0.2,  # of the tumour clicks off the truth, or background clicks on it
}
