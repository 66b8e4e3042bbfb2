"""A small BIDS data set with PET, CT and masks, whose SUV are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clickpet.images import write_image

AFFINE = np.array([[-4.0, 0, 0, 20], [0, 4, 0, -25], [0, 0, 5, 100], [0, 0, 0, 1]])
SHAPE = (12, 11, 10)
HALF_LIFE_S = 6586.2
#: What the PET's JSON says: 350 MBq, an hour of uptake, values corrected to the start of the scan.
METADATA = {
    "Units": "Bq/mL",
    "TracerName": "FDG",
    "TracerRadionuclide": "F18",
    "InjectedRadioactivity": 350.0,
    "InjectedRadioactivityUnits": "MBq",
    "TimeZero": "10:00:00",
    "InjectionStart": 0,
    "ScanStart": 3600,
    "FrameTimesStart": [3600],
    "FrameDuration": [1200],
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 3600,
    "AttenuationCorrection": "CT-based",
}


def suv_image() -> np.ndarray:
    """SUV of the made-up PET: 1 in the body, 8 in a lesion."""
    suv = np.full(SHAPE, 0.02, np.float32)
    suv[2:10, 2:9] = 1
    suv[4:7, 4:7, 3:6] = 8
    return suv


def expected_factor(*, weight_kg: float = 70.0, dose_bq: float = 350e6, delta_t_s: float = 3600.0) -> float:
    return weight_kg * 1000 / (dose_bq * 2 ** (-delta_t_s / HALF_LIFE_S))


def write_subject(
    root: Path,
    subject: str,
    session: str = "",
    *,
    weight: object = 70,
    mask: bool = False,
    entities: str = "",
    **changed: object,
) -> Path:
    """Write PET, JSON and CT of a subject and add it to participants.tsv; returns the PET. None removes a key."""
    name = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "")
    pet = folder / "pet" / f"{name}{entities}_pet.nii.gz"
    ct = np.full(SHAPE, -1000, np.float32)
    ct[2:10, 2:9] = 40
    write_image(pet, suv_image() / expected_factor(), AFFINE)
    write_image(folder / "ct" / f"{name}_ct.nii.gz", ct, AFFINE)
    metadata = {key: value for key, value in {**METADATA, **changed}.items() if value is not None}
    pet.with_name(pet.name.replace(".nii.gz", ".json")).write_text(json.dumps(metadata))
    table = root / "participants.tsv"
    if not table.exists():
        table.write_text("participant_id\tage\tweight\n")
    with table.open("a") as lines:
        lines.write(f"sub-{subject}\t50\t{weight}\n")
    if mask:
        made = root / "derivatives" / "manual" / folder.relative_to(root) / "pet" / f"{name}_label-lesion_mask.nii.gz"
        write_image(made, (suv_image() > 4).astype(np.uint8), AFFINE)
    return pet
