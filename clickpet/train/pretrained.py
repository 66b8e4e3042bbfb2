"""Starting a lesion model from weights that were trained on CT and PET alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

#: Where a copy of a stem tensor may stand in a checkpoint: nnU-Net registers it under several names.
_ALIASES = (("decoder.encoder.", "encoder."), (".all_modules.0.", ".conv."), (".all_modules.1.", ".norm."))
_HEADS = ("decoder.seg_layers.", "decoder.organ_seg_layers.")


def start_from(network: nn.Module, checkpoint: str | Path) -> list[str]:
    """Copy what fits of a pretrained nnU-Net checkpoint into `network` (in place).

    Tensors of the same shape are copied. The stem takes the channels that the checkpoint has (CT, PET);
    further input channels (the clicks) start at zero, so that the features are exactly those of the
    pretrained model at first. Heads stay new. Returns the log: a line a tensor, and a summary first.

    Raises InputError if the file is no checkpoint or nothing in it fits. Paper, section 2.2, "Segmentation Models".
    """
    from clickpet.errors import InputError
    from clickpet.nnunet.model_folder import load_checkpoint, network_weights

    given = {_plain_name(name): tensor for name, tensor in network_weights(load_checkpoint(checkpoint)).items()}
    log = {"copied": [], "widened": [], "new": []}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            source = given.get(_plain_name(name))
            if source is None or name.startswith(_HEADS):
                log["new"].append(name)
            elif source.shape == parameter.shape:
                parameter.copy_(source)
                log["copied"].append(name)
            elif _fewer_channels(source, parameter):
                parameter.zero_()
                parameter[:, : source.shape[1]].copy_(source)
                log["widened"].append(name)
            else:
                log["new"].append(f"{name} (shape {tuple(source.shape)} there, {tuple(parameter.shape)} here)")
    if not log["copied"]:
        raise InputError(
            "no tensor of this checkpoint fits the network",
            where=checkpoint,
            mend="give a ResEncL checkpoint of nnU-Net trained on CT and PET, or leave train.pretrained empty",
        )
    used = {_plain_name(name) for name in log["copied"] + log["widened"]}
    log["skipped"] = sorted(name for name in given if name not in used)
    summary = ", ".join(f"{len(names)} {what}" for what, names in log.items())
    return [f"pretrained start: {summary}", *(f"{what}: {name}" for what, names in log.items() for name in names)]


def _plain_name(name: str) -> str:
    for alias, plain in _ALIASES:
        name = name.replace(alias, plain)
    return name


def _fewer_channels(source: torch.Tensor, parameter: torch.Tensor) -> bool:
    return (
        source.ndim == parameter.ndim
        and source.shape[1] < parameter.shape[1]
        and source.shape[:1] + source.shape[2:] == parameter.shape[:1] + parameter.shape[2:]
    )
