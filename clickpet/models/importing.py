"""Released checkpoints into the project's own model folders, without running anything they may carry."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from clickpet.digests import weights_digest
from clickpet.errors import InputError
from clickpet.files import replacing, write_json
from clickpet.nnunet.model_folder import (
    CONFIGURATION,
    ModelFolder,
    build_network,
    load_checkpoint,
    mirroring_axes,
    network_weights,
    read_model_folder,
)
from clickpet.nnunet.plans import CHECKPOINT, dataset_json
from clickpet.predict.network_grid import NetworkGrid, NetworkInput
from clickpet.tracer.network import TracerNet, save_discriminator
from clickpet.train.pretrained import start_from

PLAIN_NETWORK = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
DUAL_NETWORK = "clickpet.nnunet.network.DualHeadResidualEncoderUNet"
ORGAN_HEAD = "decoder.organ_seg_layers."
#: Checkpoint files that a fold's folder may hold, the wanted one first.
CANDIDATES = (CHECKPOINT, "checkpoint_best.pth")


def import_lesion_model(source: str | Path, target: str | Path, *, folds: Sequence[int | str]) -> dict:
    """Copy a released nnU-Net lesion model into `target` as a model folder of this project.

    source : nnU-Net 2 folder of a ResidualEncoderUNet: plans.json, dataset.json, fold_{fold}/checkpoint_final.pth
    (or checkpoint_best.pth), three input channels (CT, PET, clicks; and the mask of the
    round before, if dataset.json says so), a lesion head and, if it was
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
    with _sound_plans(source):
        model = _as_lesion_model(source, given[folds[0]], weights[folds[0]])
        network = build_network(model, device="meta")
        _prepare_a_volume(model)
    report = {"source": str(source), "network": model.configuration.network_arch_class_name, "folds": {}}
    fitted = {}
    for fold in folds:
        fitted[fold], keys = fit_weights(network, weights[fold], where=files[fold])
        report["folds"][str(fold)] = {"file": files[fold].name, "weights": weights_digest(fitted[fold]), **keys}
    write_json(target / "plans.json", model.plans.plans)
    write_json(target / "dataset.json", model.dataset)
    for fold, tensors in fitted.items():
        save_checkpoint(target, model, fold, tensors, axes=mirroring_axes(given[fold]))
    return report


@contextmanager
def _sound_plans(source: Path) -> Iterator[None]:
    """InputError for whatever plans that lack something, or hold something odd, make nnU-Net stumble over."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise InputError(
            f"cannot be used ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
            where=source / "plans.json",
            mend="copy it again from where the model was trained",
        ) from error


def _prepare_a_volume(model: ModelFolder) -> None:
    """Normalise and resample a few voxels, so that plans which cannot do that are found now."""
    blank = np.zeros((5, 6, 7), np.float32)
    grid = NetworkGrid(model, blank.shape, np.diag([2.0, 3.0, 4.0, 1.0]), tuple(slice(0, n) for n in blank.shape))
    NetworkInput(grid, [blank] * model.n_channels, grid.whole).read(grid.whole)


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
    released = _released(source, checkpoint)
    if released.n_channels != 3 + released.previous_mask:
        raise InputError(
            f"takes {released.n_channels} channels, not CT, PET and clicks",
            where=source,
            mend="a model of CT and PET can be a pretrained start: `clickpet import-model pretrained` makes a file "
            "for train.pretrained of it",
        )
    channels = released.dataset.get("channel_names", dataset_json(0)["channel_names"])
    organs = [tensor for key, tensor in weights.items() if key.startswith(ORGAN_HEAD)]
    dataset = {**dataset_json(0, previous_mask=released.previous_mask), "channel_names": channels}
    return _with_network(released, dataset, len(organs[0]) if organs else 0)


def _as_starting_model(source: Path, checkpoint: dict) -> ModelFolder:
    """As a model of three channels and one head would be that starts from a released one of fewer channels."""
    return _with_network(_released(source, checkpoint), dataset_json(0), 0)


def _released(source: Path, checkpoint: dict) -> ModelFolder:
    args = checkpoint.get("init_args")
    name = args.get("configuration", CONFIGURATION) if isinstance(args, dict) else CONFIGURATION
    return read_model_folder(source, configuration=name, two_labels=False)


def _with_network(released: ModelFolder, dataset: dict, organ_classes: int) -> ModelFolder:
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    configuration = deepcopy(released.configuration.configuration)
    configuration.pop("inherits_from", None)
    architecture = configuration["architecture"]
    name = str(architecture.get("network_class_name"))
    if not name.endswith("ResidualEncoderUNet"):
        raise InputError(f"is a {name}, not a ResidualEncoderUNet", where=released.path / "plans.json")
    known = inspect.signature(ResidualEncoderUNet).parameters
    arch_kwargs = {key: value for key, value in architecture["arch_kwargs"].items() if key in known}
    if organ_classes:
        arch_kwargs["organ_classes"] = organ_classes
    network = DUAL_NETWORK if organ_classes else PLAIN_NETWORK
    architecture.update(network_class_name=network, arch_kwargs=arch_kwargs)
    plans = type(released.plans)({**released.plans.plans, "configurations": {CONFIGURATION: configuration}})
    return ModelFolder(released.path, plans, plans.get_configuration(CONFIGURATION), dataset)


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


def import_pretrained(source: str | Path, target: str | Path) -> dict:
    """Copy the weights of a checkpoint of CT and PET to the file `target`, for `train.pretrained`.

    source : a checkpoint in an nnU-Net model folder, or the fold's folder that holds it. The report is what a
    network of the same plans with a click channel more would take of it: "source" and the lists of names
    "copied", "widened" (the click channel is zero), "new" and "skipped". InputError as `import_lesion_model`.
    """
    source = Path(source)
    file = _checkpoint_file(source.parent, source.name.removeprefix("fold_")) if source.is_dir() else source
    checkpoint = load_checkpoint(file)
    weights = network_weights(checkpoint, where=file)
    with _sound_plans(file.parent.parent):
        network = build_network(_as_starting_model(file.parent.parent, checkpoint), device="meta")
    log = start_from(network, file)
    report = {"source": str(file)}
    for what in ("copied", "widened", "new", "skipped"):
        report[what] = [line.removeprefix(f"{what}: ") for line in log if line.startswith(f"{what}: ")]
    with replacing(target) as temporary:
        # with its plans, where they are in it: they say how it normalises
        torch.save({"network_weights": weights, "init_args": checkpoint.get("init_args", {})}, temporary)
    return report


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
            "weights": weights_digest(fitted[fold]),
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
