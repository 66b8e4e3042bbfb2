"""A trained lesion model as a plain nnU-Net model that stock nnU-Net runs: the organ head dropped."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.models.importing import DUAL_NETWORK, ORGAN_HEAD, PLAIN_NETWORK, fit_weights, save_checkpoint
from clickpet.nnunet.model_folder import (
    ModelFolder,
    build_network,
    load_checkpoint,
    mirroring_axes,
    network_weights,
    read_model_folder,
)
from clickpet.nnunet.plans import CONFIGURATION


def export_model(source: str | Path, target: str | Path, *, folds: Sequence[int | str]) -> dict:
    """Write `folds` of the model folder `source` to `target` for `nnUNetv2_predict_from_modelfolder`.

    The exported network is nnU-Net's ResidualEncoderUNet with the same lesion logits bit for bit; its three inputs
    are CT (HU), PET (SUV) and the click heatmap, as `{case}_0000`, `_0001`, `_0002`; a model that takes the mask of the
    round before has it as `_0003`. Optimiser state and organ head are left out. Returns {"folds": {fold: {"copied",
    "skipped"}}}. Raises InputError if a fold is missing.
    """
    target = Path(target)
    if not folds:
        raise InputError("no folds to export", where=source, mend="list them under 'folds'")
    model = read_model_folder(source)
    plain = _plain(model)
    report, fitted = {"folds": {}}, {}
    for fold in folds:
        checkpoint = load_checkpoint(model.checkpoint(fold))
        weights = network_weights(checkpoint, where=model.checkpoint(fold))
        state, keys = fit_weights(build_network(plain, device="meta"), weights, where=model.checkpoint(fold))
        fitted[fold] = state, mirroring_axes(checkpoint)
        report["folds"][str(fold)] = {
            "copied": keys["copied"],
            "skipped": [key for key in keys["skipped"] if key.startswith(ORGAN_HEAD)],
        }
    write_json(target / "plans.json", plain.plans.plans)
    write_json(target / "dataset.json", plain.dataset)
    for fold, (state, axes) in fitted.items():
        save_checkpoint(target, plain, fold, state, axes=axes)
    return report


def _plain(model: ModelFolder) -> ModelFolder:
    plans = deepcopy(model.plans.plans)
    architecture = plans["configurations"][CONFIGURATION]["architecture"]
    if architecture["network_class_name"] not in (DUAL_NETWORK, PLAIN_NETWORK):
        raise InputError(f"has a network {architecture['network_class_name']} that nnU-Net lacks", where=model.path)
    architecture["network_class_name"] = PLAIN_NETWORK
    architecture["arch_kwargs"].pop("organ_classes", None)
    manager = type(model.plans)(plans)
    return ModelFolder(model.path, manager, manager.get_configuration(CONFIGURATION), model.dataset)
