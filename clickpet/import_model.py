"""Released checkpoints into the project's own model folders, without running anything they may carry."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import torch

from clickpet.discriminator import TracerNet, save_discriminator
from clickpet.errors import InputError
from clickpet.files import replacing, write_json
from clickpet.model_folder import (
    CHECKPOINT,
    CONFIGURATION,
    ModelFolder,
    build_network,
    load_checkpoint,
    mirroring_axes,
    network_weights,
    read_model_folder,
)
from clickpet.planning import dataset_json

PLAIN_NETWORK = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
DUAL_NETWORK = "clickpet.network.DualHeadResidualEncoderUNet"
ORGAN_HEAD = "decoder.organ_seg_layers."
#: Checkpoint files that a fold's folder may hold, the wanted one first.
CANDIDATES = (CHECKPOINT, "checkpoint_best.pth")


def import_lesion_model(source: str | Path, target: str | Path, *, folds: Sequence[int | str]) -> dict:
    """Copy a released nnU-Net lesion model into `target` as a model folder of this project.

    source : nnU-Net 2 folder of a ResidualEncoderUNet: plans.json, dataset.json, fold_{fold}/checkpoint_final.pth
    (or checkpoint_best.pth), three input channels (CT, PET, clicks), a lesion head and, if it was
    trained so, an organ head `decoder.organ_seg_layers`. Names with prefixes of torch.compile and
    data-parallel training, and nnU-Net's several names of one tensor, are understood.

    Returns a report: for each fold the file and the lists "copied", "skipped" (in the file, of no use here).
    Raises InputError, and writes nothing, if a file is missing, broken or hostile, or a tensor is missing or of
    another shape than the plans say.
    """
    source, target = Path(source), Path(target)
    if not folds:
        raise InputError("no folds to import", where=source, mend="list them under 'folds'")
    files = {fold: _checkpoint_file(source, fold) for fold in folds}
    given = {fold: load_checkpoint(file) for fold, file in files.items()}
    weights = {fold: network_weights(checkpoint, where=files[fold]) for fold, checkpoint in given.items()}
    model = _as_lesion_model(source, given[folds[0]], weights[folds[0]])
    report = {"source": str(source), "network": model.configuration.network_arch_class_name, "folds": {}}
    fitted = {}
    for fold in folds:
        fitted[fold], keys = fit_weights(build_network(model, device="meta"), weights[fold], where=files[fold])
        report["folds"][str(fold)] = {"file": files[fold].name, **keys}
    write_json(target / "plans.json", model.plans.plans)
    write_json(target / "dataset.json", model.dataset)
    for fold, tensors in fitted.items():
        save_checkpoint(target, model, fold, tensors, axes=mirroring_axes(given[fold]))
    return report


def _checkpoint_file(source: Path, fold: int | str) -> Path:
    for name in CANDIDATES:
        file = source / f"fold_{fold}" / name
        if file.is_file():
            return file
    raise InputError(
        f"fold {fold} has no {CHECKPOINT}",
        where=source,
        mend=f"give the folder that holds plans.json and fold_{fold}, or leave the fold out",
    )


def _as_lesion_model(source: Path, checkpoint: dict, weights: Mapping[str, torch.Tensor]) -> ModelFolder:
    """The released plans in this project's form: one configuration, its network by head, labels lesion-only."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    name = (checkpoint.get("init_args") or {}).get("configuration", CONFIGURATION)
    released = read_model_folder(source, configuration=name, two_labels=False)
    configuration = deepcopy(released.configuration.configuration)
    configuration.pop("inherits_from", None)
    if not str(configuration["architecture"]["network_class_name"]).endswith("ResidualEncoderUNet"):
        raise InputError(
            f"is a {configuration['architecture']['network_class_name']}, not a ResidualEncoderUNet",
            where=source / "plans.json",
        )
    organs = [tensor for key, tensor in weights.items() if key.startswith(ORGAN_HEAD)]
    architecture = configuration["architecture"]
    architecture["network_class_name"] = DUAL_NETWORK if organs else PLAIN_NETWORK
    known = inspect.signature(ResidualEncoderUNet).parameters
    architecture["arch_kwargs"] = {key: value for key, value in architecture["arch_kwargs"].items() if key in known}
    if organs:
        architecture["arch_kwargs"]["organ_classes"] = len(organs[0])
    if released.n_channels != 3:
        raise InputError(
            f"takes {released.n_channels} channels, not CT, PET and clicks",
            where=source,
            mend="a model of CT and PET can be a pretrained start: give a checkpoint of it as train.pretrained",
        )
    dataset = {
        **dataset_json(0),
        "channel_names": released.dataset.get("channel_names", dataset_json(0)["channel_names"]),
    }
    plans = type(released.plans)({**released.plans.plans, "configurations": {CONFIGURATION: configuration}})
    return ModelFolder(source, plans, plans.get_configuration(CONFIGURATION), dataset)


def fit_weights(
    network: torch.nn.Module, given: Mapping[str, torch.Tensor], *, where: object = None
) -> tuple[dict[str, torch.Tensor], dict[str, list[str]]]:
    """State dict of `network` filled from `given`, whichever of its names a tensor has there.

    network : may be on the meta device.  Returns the state dict under all names that `network` uses, and the
    lists of names "copied" (as in the network) and "skipped" (as given). InputError names the first tensors that
    are missing or differ in shape.
    """
    names: dict[int, list[str]] = {}
    shapes = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
        shapes[name] = tuple(parameter.shape)
    for name, buffer in network.named_buffers():
        names[id(buffer)] = [name]
        shapes[name] = tuple(buffer.shape)
    state, copied, missing, differing, used = {}, [], [], [], set()
    for aliases in names.values():
        found = [name for name in aliases if name in given]
        used.update(found)
        if not found:
            missing.append(aliases[0])
        elif tuple(given[found[0]].shape) != shapes[aliases[0]]:
            differing.append(f"{aliases[0]} {tuple(given[found[0]].shape)} instead of {shapes[aliases[0]]}")
        else:
            copied.append(aliases[0])
            state.update(dict.fromkeys(aliases, given[found[0]]))
    for what, wrong in (("lacks", missing), ("differs in shape:", differing)):
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise InputError(
                f"{what} {', '.join(wrong[:3])}{more}", where=where, mend="is it a checkpoint of the plans beside it?"
            )
    ordered = {name: state[name] for name in network.state_dict()}
    return ordered, {"copied": copied, "skipped": sorted(set(given) - used)}


def save_checkpoint(
    folder: str | Path, model: ModelFolder, fold: int | str, weights: dict, *, axes: Sequence[int]
) -> None:
    """Write a checkpoint that nnU-Net's predictor and this project read: weights and what describes them."""
    checkpoint = {
        "network_weights": weights,
        "init_args": {
            "plans": model.plans.plans,
            "configuration": CONFIGURATION,
            "fold": fold,
            "dataset_json": model.dataset,
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(axes),
    }
    with replacing(Path(folder) / f"fold_{fold}" / CHECKPOINT) as temporary:
        torch.save(checkpoint, temporary)


def import_tracer_models(sources: Mapping[int | str, str | Path], target: str | Path) -> dict:
    """Copy released tracer discriminators (fold to file) to `target`/fold_{fold}/checkpoint.pth.

    Each is a state dict, bare or inside a checkpoint, of conv1..conv6 and fc1..fc5. Returns the report, raises
    InputError as `import_lesion_model`.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in TracerNet().state_dict().items()}
    report, fitted = {"folds": {}}, {}
    for fold, file in sources.items():
        given = {_tail(key): tensor for key, tensor in network_weights(load_checkpoint(file), where=file).items()}
        missing = [key for key in wanted if key not in given]
        differing = [key for key in wanted if key in given and tuple(given[key].shape) != wanted[key]]
        if missing or differing:
            raise InputError(
                f"is no tracer discriminator: {', '.join((missing or differing)[:3])} "
                f"{'missing' if missing else 'of another shape'}",
                where=file,
            )
        fitted[fold] = {key: given[key].float().clone() for key in wanted}
        report["folds"][str(fold)] = {
            "file": Path(file).name,
            "copied": list(wanted),
            "skipped": sorted(set(given) - set(wanted)),
        }
    for fold, weights in fitted.items():
        save_discriminator(Path(target) / f"fold_{fold}" / "checkpoint.pth", weights)
    return report


def _tail(key: str) -> str:
    """`model.conv1.weight` as `conv1.weight`: whatever the network was called inside its program."""
    found = re.search(r"(conv[1-6]|fc[1-5])\.(weight|bias)$", key)
    return found[0] if found else key
