"""A phantom patient and tiny untrained models, where the demo has them, and what a workflow made of a patient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tiny_models import write_model

from clickpet.evaluate.tables import read_table
from clickpet.images import read_image
from clickpet.models.patient import Segmentation
from clickpet.models.settings import write_settings
from clickpet.phantom.cohort import COHORT, Study, write_cohort
from clickpet.tracer.network import TracerNet, save_discriminator

#: Untypical on purpose, so that settings which are not followed show.
HEATMAP = {"sigma_tumor": 2, "sigma_background": 4, "unit": "voxel", "suv_gate": 3.5, "peak": "unit"}
MIP = {"spacing_mm": 6, "size": 96, "compat": "paper"}

#: Few tiles, no mirroring: what is compared does not depend on it.
QUICK = {"predict": {"tile_step": 1, "voxel_limits": [1, 2, 3]}}


def new_patient() -> Study:
    """The demo's new patient: a PSMA study with clicks, without a truth and, for the workflow, of unknown tracer."""
    (patient,) = (study for study in COHORT if study.split == "predict")
    return patient


def write_patient(root: Path, patient: Study | None = None) -> dict[str, Path]:
    """Write a patient's files below `root`/results/phantom; returns {"ct", "pet", ...: path} of those there are."""
    patient = patient or new_patient()
    write_cohort(seed=20, studies=(patient,), root=root)
    return patient_files(root, patient)


def patient_files(root: Path, patient: Study | None = None) -> dict[str, Path]:
    """{"ct", "pet", ...: path} of what `write_patient` wrote below `root`."""
    return {name: root / file for name, file in (patient or new_patient()).files.items() if file}


def write_models(folder: Path, *, folds: tuple[int, ...] = (0, 1), tracers: tuple[str, ...] = ("fdg", "psma")) -> Path:
    """A folder of models: lesion models and discriminators with random weights, and their settings."""
    for seed, tracer in enumerate(tracers):
        write_model(folder / tracer, folds, seed=seed, spacing_zyx=(8.25, 6.5, 6.5), patch=(32, 32, 32))
    members = dict.fromkeys(tracers, folds)
    if len(tracers) > 1:
        members["tracer"] = folds
        for fold in folds:
            with torch.random.fork_rng():
                torch.manual_seed(fold)
                save_discriminator(folder / "tracer" / f"fold_{fold}" / "checkpoint.pth", TracerNet().state_dict())
    write_settings(folder, members, heatmap=HEATMAP, mip=MIP)
    return folder


def check_same(found: Segmentation, case: Path) -> None:
    """Assert that a segmentation equals the files in the folder of a case of the workflow, bit for bit."""
    for name, array in (("lesions", found.mask), ("lesions_raw", found.raw_mask), ("heatmap", found.heatmap)):
        file = read_image(case / f"{name}.nii.gz")
        np.testing.assert_array_equal(array, file.array, err_msg=name)
        np.testing.assert_array_equal(found.affine, file.affine, err_msg=name)
    record = json.loads((case / "tracer.json").read_text())
    assert (found.tracer.tracer, found.tracer.source) == (record["tracer"], record["source"])
    assert list(found.tracer.probability_psma) == record["probability_psma"]
    assert (found.tracer.votes or {}) == record["votes"]
    prediction = json.loads((case / "prediction.json").read_text())
    for name in ("members", "mirror_axes", "tiles", "forward_passes", "disagreement"):
        assert found.details[name] == prediction[name], name
    spread = found.disagreement
    values = np.empty(0) if spread is None else spread[found.raw_mask]
    np.testing.assert_array_equal(values, np.load(case / "disagreement.npy"))
    table = read_table(case / "lesion_table.csv")
    assert list(found.lesions.columns) == list(table.columns)
    assert found.lesions.shape == table.shape
    written = table.to_numpy(float)
    assert np.allclose(found.lesions.to_numpy(float), written, rtol=1e-5, atol=0, equal_nan=True)  # six digits
    totals = json.loads((case / "study.json").read_text())
    told = {
        name: None if isinstance(value, float) and np.isnan(value) else value for name, value in found.totals.items()
    }
    assert told == {name: totals[name] for name in told}, (told, totals)
