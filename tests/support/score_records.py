"""Made records of scores, as in `score.json`."""

from __future__ import annotations

import numpy as np


def records(count: int = 24, seed: int = 0) -> list[dict]:
    """Scores as in score.json: every fourth study has no lesions, every third patient two studies."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        patient = number - (number % 3 == 2)
        ill = number % 4 != 3
        split = "test" if patient % 5 == 4 else "train"
        found.append(
            {
                "case": f"Case  {number}", "slug": f"case_{number:02d}", "tracer": ("fdg", "psma")[patient % 2],
                "tracer_found": "fdg", "patient": f"{patient:03d}", "centre": ("UKT", "LMU", "")[patient % 3],
                "split": split, "fold": str(patient % 5) if split == "train" else "",
                "dice": rng.random() if ill else None, "fpv_ml": rng.random() * 5,
                "fnv_ml": rng.random() if ill else None, "sensitivity": rng.random() if ill else None,
                "precision": rng.random(), "f1": rng.random() if ill else None, "truth_lesions": int(ill) * 3,
                "truth_volume_ml": ill * 30.0, "prediction_volume_ml": 25.0,
            }
        )  # fmt: skip
    return found
