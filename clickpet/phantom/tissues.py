"""Tissues of the phantom: HU, organ label, and typical SUV of FDG and PSMA."""

from __future__ import annotations

from typing import NamedTuple


class Tissue(NamedTuple):
    """hu : CT density;  organ : name in `clickpet.organs.labels.ORGANS`, or None;  fdg_suv, psma_suv : mean uptake,
    g/ml;  suv_sigma : spread of the uptake between patients (sigma of its logarithm)."""

    hu: float
    organ: str | None
    fdg_suv: float
    psma_suv: float
    suv_sigma: float


TISSUES = {
    "air": Tissue(-1000, None, 0.0, 0.0, 0.0),
    "couch": Tissue(-350, None, 0.0, 0.0, 0.0),
    "fat": Tissue(-95, None, 0.25, 0.2, 0.1),
    "muscle": Tissue(45, None, 0.6, 0.45, 0.1),
    "lung": Tissue(-820, "lungs", 0.4, 0.35, 0.1),
    "airway": Tissue(-950, None, 0.1, 0.1, 0.0),
    "bone": Tissue(420, "skeleton", 1.1, 0.6, 0.15),
    "cortex": Tissue(38, "brain", 10.0, 0.25, 0.2),
    "white_matter": Tissue(30, "brain", 5.0, 0.2, 0.2),
    "heart_blood": Tissue(45, "heart", 1.7, 1.5, 0.12),
    "heart_wall": Tissue(50, "heart", 5.0, 1.6, 0.6),
    "aorta": Tissue(45, "aorta", 1.7, 1.5, 0.12),
    "liver": Tissue(58, "liver", 2.3, 6.0, 0.18),
    "gallbladder": Tissue(12, "digestive_system", 0.9, 7.0, 0.7),
    "spleen": Tissue(50, "spleen", 1.9, 7.0, 0.25),
    "pancreas": Tissue(38, "pancreas", 1.4, 2.0, 0.15),
    "stomach": Tissue(30, "digestive_system", 1.9, 2.2, 0.25),
    "duodenum": Tissue(35, "digestive_system", 1.8, 9.0, 0.25),
    "small_bowel": Tissue(30, "digestive_system", 1.5, 3.0, 0.3),
    "colon": Tissue(10, "digestive_system", 1.6, 1.3, 0.35),
    "kidney": Tissue(33, "kidneys", 3.0, 32.0, 0.2),
    "renal_pelvis": Tissue(10, "kidneys", 8.0, 24.0, 0.4),
    "ureter": Tissue(15, None, 2.5, 4.0, 0.3),
    "bladder": Tissue(5, "bladder", 16.0, 18.0, 0.5),
    "prostate": Tissue(42, "prostate", 1.6, 2.4, 0.15),
    "parotid_gland": Tissue(30, "parotid_glands", 1.9, 14.0, 0.2),
    "submandibular_gland": Tissue(30, "submandibular_glands", 2.0, 15.0, 0.2),
    "lacrimal_gland": Tissue(30, None, 1.0, 7.0, 0.25),
    "mucosa": Tissue(40, None, 1.5, 3.0, 0.25),
}
#: Number of each tissue in a tissue map.
TISSUE_IDS = {name: number for number, name in enumerate(TISSUES)}
