"""Definitions of the metrics, as the report and the comparison of runs print them."""

from __future__ import annotations

from clickpet.report.page import Definitions

#: Definitions of the official evaluation of autoPET III and IV, as the scores use them.
METRICS = (
    (
        "Dice",
        "2·|P ∩ T| / (|P| + |T|) over the voxels of the predicted mask P and the true mask T of a study; 0 to 1, "
        "higher is better. Not defined (left out of the means) where the truth has no lesion.",
    ),
    (
        "FPV (ml)",
        "False positive volume: the volume of the predicted components that touch no true voxel. Lower is better. "
        "Counted for every study that has a truth, also where that truth has no lesion; 0 where nothing is predicted.",
    ),
    (
        "FNV (ml)",
        "False negative volume: the volume of the true components that touch no predicted voxel. Lower is better. "
        "Not defined (left out of the means) where the truth has no lesion.",
    ),
    (
        "Component",
        "A set of voxels connected over faces or edges (18-connected). Volumes are voxels times dx·dy·dz / 1000 in ml.",
    ),
    (
        "AUC",
        "Area under a score over the clicks of each kind, by the trapezoid rule with step 1; from 0 to 10 clicks a "
        "perfect Dice gives 10.",
    ),
    ("TMTV (ml)", "Total volume of the lesions of a study."),
    (
        "Sensitivity",
        "Share of the true components of a study that touch at least one predicted voxel (found lesions). Not defined "
        "where the truth has no lesion.",
    ),
    ("Precision", "Share of the predicted components of a study that touch a true voxel; F1: harmonic mean of both."),
)


def definitions_block(*, areas: bool = True) -> Definitions:
    """The metrics, defined; `areas`: the area under a score over clicks, too."""
    return Definitions([(name, meaning) for name, meaning in METRICS if areas or name != "AUC"])
