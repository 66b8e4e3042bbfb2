"""A phantom patient and tiny untrained models, in the places where the demo has them."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_models import write_model

from clickpet.models.settings import write_settings
from clickpet.phantom.cohort import COHORT, Study, write_cohort
from clickpet.tracer.network import TracerNet, save_discriminator

#: Untypical on purpose, so that settings which are not followed show.
HEATMAP = {"sigma_tumor": 2, "sigma_background": 4, "unit": "voxel", "suv_gate": 3.5, "peak": "unit"}
MIP = {"spacing_mm": 6, "size": 96, "compat": "paper"}


def new_patient() -> Study:
    """The demo's new patient: a PSMA study with clicks, without a truth and, for the workflow, of unknown tracer."""
    (patient,) = (study for study in COHORT if study.split == "predict")
    return patient


def write_patient(root: Path, patient: Study | None = None) -> dict[str, Path]:
    """Write a patient's files below `root`/results/phantom; returns {"ct", "pet", ...: path} of those there are."""
    patient = patient or new_patient()
    write_cohort(seed=20, studies=(patient,), root=root)
    return {name: root / file for name, file in patient.files.items() if file}


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
