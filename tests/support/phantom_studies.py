"""Studies of the phantom cohort, made once for all tests of a process."""

from __future__ import annotations

from functools import cache

from clickpet.phantom.cohort import COHORT
from clickpet.phantom.study import make_study

SEED = 20
WITH_LESIONS = [0, 2, 7, 12]  # FDG, FDG with its own CT grid, PSMA, PSMA on another PET grid
HEALTHY = [3, 10]


@cache
def made(index: int, seed: int = SEED) -> dict:
    """The study in row `index` of the cohort."""
    study = COHORT[index]
    return make_study(
        study.case,
        tracer=study.tracer,
        patient=study.patient,
        seed=seed,
        centre=study.centre,
        healthy=study.healthy,
        ct_own_grid=study.ct_own_grid,
        grid=study.grid or study.tracer,
    )
