"""nnU-Net model folders: plans, dataset and the checkpoints of the folds, read without running foreign code.

Layout: `{folder}/dataset.json`, `{folder}/plans.json`, `{folder}/fold_{fold}/checkpoint_final.pth`
(nnU-Net 2.8). Only the light half of nnU-Net is imported; its training module would cost 10 s.
"""

from __future__ import annotations

import pickle
import pydoc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clickpet.digests import check_recorded
from clickpet.errors import InputError
from clickpet.files import read_json
from clickpet.finite_weights import refuse_non_finite
from clickpet.nnunet.plans import CHECKPOINT, CONFIGURATION

#: Plans name classes by their import path; only these places are looked into.
PARTS = ("torch.nn.", "dynamic_network_architectures.", "clickpet.nnunet.network.")
#: Prefixes that torch.compile and data-parallel training put before parameter names.
WRAPPERS = ("_orig_mod.", "module.")


@dataclass(frozen=True)
class ModelFolder:
    """An nnU-Net model: `plans` and `configuration` are nnU-Net's own managers, `dataset` is dataset.json."""

    path: Path
    plans: object
    configuration: object
    dataset: dict

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """Patch (z, y, x) in voxels of the network's grid."""
        return tuple(int(length) for length in self.configuration.patch_size)

    @property
    def n_channels(self) -> int:
        """Number of input channels."""
        return len(self.dataset.get("channel_names") or self.dataset["modality"])

    @property
    def previous_mask(self) -> bool:
        """Whether the last input channel is the mask of the round before (0 in the first one)."""
        return bool(self.dataset.get("previous_mask"))

    def checkpoint(self, fold: int | str) -> Path:
        """Path of the final checkpoint of `fold`."""
        return self.path / f"fold_{fold}" / CHECKPOINT


def read_model_folder(path: str | Path, *, configuration: str = CONFIGURATION, two_labels: bool = True) -> ModelFolder:
    """Read plans.json and dataset.json of a model folder.

    Raises InputError if one is missing or broken, if the model is not 3-D, or if it does not tell
    exactly two labels apart (background and lesion; `two_labels` False accepts any).
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    path = Path(path)
    plans_json, dataset = (_read(path / name) for name in ("plans.json", "dataset.json"))
    plans = PlansManager(plans_json)
    try:
        planned = plans.get_configuration(configuration)
        n_heads = plans.get_label_manager(dataset).num_segmentation_heads
        n_axes = len(planned.patch_size)
    except (KeyError, TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"not a {configuration} model ({type(error).__name__}: {error})",
            where=path,
            mend="give a folder that nnU-Net 2 trained",
        ) from error
    if (two_labels and n_heads != 2) or n_axes != 3:
        raise InputError(
            f"has {n_heads} labels in {n_axes}-D, not background and lesion in 3-D", where=path / "dataset.json"
        )
    return ModelFolder(path, plans, planned, dataset)


def _read(path: Path) -> dict:
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read ({type(error).__name__})",
            where=path,
            mend="a model folder holds plans.json, dataset.json and fold_*/" + CHECKPOINT,
        ) from error
    if not isinstance(value, dict):
        raise InputError("holds no JSON object", where=path)
    return value


def build_network(model: ModelFolder, *, device: str = "cpu") -> torch.nn.Module:
    """The network that the plans describe, lesion head only switched on (no deep supervision).

    device : "meta" makes one without memory or initial weights, to be filled by `load_state_dict(assign=True)`.
    Raises InputError for plans that name anything but network parts: nnU-Net calls what they name.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = model.configuration
    check_network_parts(configuration, where=model.path / "plans.json")
    try:
        with torch.device(device):
            return get_network_from_plans(
                configuration.network_arch_class_name,
                configuration.network_arch_init_kwargs,
                configuration.network_arch_init_kwargs_req_import,
                model.n_channels,
                2,
                allow_init=device != "meta",
                deep_supervision=False,
            )
    except (ImportError, TypeError, KeyError, AssertionError) as error:
        raise InputError(
            f"the network {configuration.network_arch_class_name} cannot be built ({error})",
            where=model.path / "plans.json",
        ) from error


def check_network_parts(configuration, *, where: object) -> None:
    """Raise InputError if a configuration of plans names anything but network parts: nnU-Net calls what they name.

    configuration : nnU-Net's ConfigurationManager, of any model folder;  where : its plans, for the message.
    """
    arguments = configuration.network_arch_init_kwargs
    imported = configuration.network_arch_init_kwargs_req_import
    names = [configuration.network_arch_class_name, *(arguments.get(argument) for argument in imported)]
    for name in names:
        part = pydoc.locate(name) if isinstance(name, str) and name.startswith(PARTS) else None
        if name is not None and not (isinstance(part, type) and issubclass(part, torch.nn.Module)):
            raise InputError(
                f"names {str(name)[:100]!r}, which is no part of a network that is known here",
                where=where,
                mend=f"parts come from {', '.join(PARTS)}*",
            )


def load_network(model: ModelFolder, fold: int | str, *, device: str | torch.device = "cpu") -> torch.nn.Module:
    """The network of `fold` in eval mode with its trained weights on `device`.

    Weights on the CPU stay mapped to the file (no copy, and the optimiser's state is never read).
    Raises InputError if keys or shapes do not fit the plans, and for other weights than training or import recorded.
    """
    path = model.checkpoint(fold)
    weights = network_weights(load_checkpoint(path), where=path)
    check_recorded(path, weights)
    network = build_network(model, device="meta")
    try:
        network.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise InputError(
            f"does not fit the plans beside it ({' '.join(str(error).split())[:200]})",
            where=path,
            mend="import the model again",
        ) from error
    return network.eval().requires_grad_(False).to(device)


def mirroring_axes(checkpoint: dict) -> tuple[int, ...]:
    """Axes that the model saw mirrored in training, so that it may be mirrored at inference; all if it does not say."""
    axes = checkpoint.get("inference_allowed_mirroring_axes", (0, 1, 2))
    return tuple(axes) if axes is not None else ()


def load_checkpoint(path: str | Path, *, mapped: bool = True) -> dict:
    """Read a checkpoint without running code that it may carry.

    Only tensors, plain containers and numbers are accepted (`weights_only`; NumPy scalars, which
    nnU-Net's log holds, are allowed for). Tensors are mapped to the file where its format permits and `mapped` is true.
    Raises InputError for a missing or broken file and for one that holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such checkpoint", where=path, mend="train or import this fold first")
    with torch.serialization.safe_globals(_numpy_scalars()):
        try:
            try:
                checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            except RuntimeError as error:  # files of torch < 1.6 cannot be mapped
                if "mmap" not in str(error):
                    raise
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"refused: it holds more than tensors and numbers ({_reason(error)})",
                where=path,
                mend="such a file can run any program; ask its author for a plain state dict",
            ) from error
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(
                f"cannot be read as a checkpoint ({_reason(error)})", where=path, mend="download or copy it again"
            ) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"holds a {type(checkpoint).__name__}, not a dictionary of weights", where=path)
    return checkpoint


def _reason(error: Exception) -> str:
    text = str(error)
    for marker in ("WeightsUnpickler error: ", "Weights only load failed"):
        if marker in text:
            text = text.split(marker, 1)[1]
            break
    return f"{type(error).__name__}: {' '.join(text.split())[:160]}"


def _numpy_scalars() -> list:
    scalar = np._core.multiarray.scalar
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    dtypes = [type(np.dtype(kind)) for kind in kinds]
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *dtypes]


def network_weights(checkpoint: dict, *, where: object = None) -> dict[str, torch.Tensor]:
    """The network's state dict of a checkpoint, or the checkpoint itself if it is one; wrapper prefixes dropped.

    Raises InputError for a checkpoint without weights, and for weights that are not finite.
    """
    weights = checkpoint
    for key in ("network_weights", "state_dict", "model_state_dict"):
        if isinstance(checkpoint.get(key), dict):
            weights = checkpoint[key]
            break
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise InputError("holds no network weights", where=where, mend="give a checkpoint with 'network_weights'")
    refuse_non_finite(weights, where=where)
    return {_unwrapped(str(key)): value for key, value in weights.items()}


def _unwrapped(key: str) -> str:
    while key.startswith(WRAPPERS):
        key = key.split(".", 1)[1]
    return key
