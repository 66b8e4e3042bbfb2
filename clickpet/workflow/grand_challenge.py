"""One case as the Grand Challenge platform hands it to a container: fixed folders in, one mask out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.workflow.new_patient import NewPatient, predict_patient

#: Where the platform puts and takes things, under its roots /input and /output (autoPET IV, task 1).
CT, PET, CLICKS = "images/ct", "images/pet", "lesion-clicks.json"
MASK = "images/tumor-lesion-segmentation"


def segment_case(
    given: str | Path,
    output: str | Path,
    models: str | Path,
    *,
    config: Mapping | None = None,
    cores: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Segment the case in the folder `given` and return the mask's path.

    Reads `given`/images/ct/*.mha, images/pet/*.mha (SUV) and lesion-clicks.json (missing or without content: no
    clicks); writes `output`/images/tumor-lesion-segmentation/{name of the PET's file}.mha: uint8, 0 and 1, on the
    PET's grid. The other arguments are those of `clickpet.workflow.new_patient.predict_patient`. Raises InputError, one
    line, if a folder does not hold exactly one file, or as `predict_patient`; nothing is written then.
    """
    given = Path(given)
    ct, pet = _only_file(given / CT), _only_file(given / PET)
    clicks = given / CLICKS
    patient = NewPatient(pet.stem, ct, pet, clicks if clicks.is_file() else None)
    with tempfile.TemporaryDirectory(prefix="clickpet-") as folder:
        found = predict_patient(patient, models, folder, config=config, cores=cores, progress=progress)
        mask = read_image(found["mask"])
    path = Path(output) / MASK / f"{pet.stem}.mha"
    write_image(path, mask.array.astype(np.uint8), mask.affine)
    return path


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*.mha") if not path.name.startswith("."))
    if len(files) != 1:
        names = f" ({', '.join(path.name for path in files[:3])})" if files else ""
        raise InputError(
            f"holds {len(files) or 'no'} .mha files{names}, not one", where=folder, mend="give one volume a case"
        )
    return files[0]
