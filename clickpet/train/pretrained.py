"""Starting a lesion model from weights that were trained on CT and PET alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import load_checkpoint, network_weights

#: Where a copy of a stem tensor may stand in a checkpoint: nnU-Net registers it under several names.
_ALIASES = (("decoder.encoder.", "encoder."), (".all_modules.0.", ".conv."), (".all_modules.1.", ".norm."))
_LESION_HEAD, _ORGAN_HEAD = "decoder.seg_layers.", "decoder.organ_seg_layers."
_STEM = "encoder.stem."
#: A tensor of one of several stems (pretraining on several kinds of images): encoder.stem.<id>.convs..., or
#: encoder.stem<id>.convs....
_NAMED_STEM = re.compile(r"encoder\.stem(?:\.(?!convs\.)(?P<name>[^.]+)|(?P<number>[^.]+))\.(?P<rest>convs\..+)")


def start_from(
    network: nn.Module, checkpoint: str | Path, *, stem: str | None = None, lesion_head: bool = False
) -> list[str]:
    """Copy what fits of a pretrained nnU-Net checkpoint into `network` (in place).

    Tensors of the same shape are copied. The stem takes the channels that the checkpoint has (CT, PET);
    further input channels (the clicks) start at zero, so that the features are exactly those of the
    pretrained model at first. Heads stay new. Returns the log: a line a tensor, and a summary first.

    stem : which one, of a checkpoint with several; None: the only one.  lesion_head : copy the lesion head, too
    (`checkpoint` is of a lesion model).

    Raises InputError if the file is no checkpoint, if it has several stems and `stem` is none of them, and if nothing
    in it, none of its stem tensors or, where asked for, no lesion head fits. Paper, section 2.2, "Segmentation Models".
    """
    weights = network_weights(load_checkpoint(checkpoint), where=checkpoint)
    given = _with_one_stem({_plain_name(name): tensor for name, tensor in weights.items()}, stem, where=checkpoint)
    heads = (_ORGAN_HEAD,) if lesion_head else (_LESION_HEAD, _ORGAN_HEAD)
    log = {"copied": [], "widened": [], "new": []}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            source = given.get(_plain_name(name))
            if source is None or name.startswith(heads):
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
    used = {_plain_name(name) for name in log["copied"] + log["widened"]}
    _require_taken(network, used, where=checkpoint, lesion_head=lesion_head)
    log["skipped"] = sorted(name for name in given if name not in used)
    summary = ", ".join(f"{len(names)} {what}" for what, names in log.items())
    return [f"pretrained start: {summary}", *(f"{what}: {name}" for what, names in log.items() for name in names)]


def normalisation_constants(checkpoint: str | Path, channels: Mapping[str, str]) -> dict[str, dict]:
    """Intensity statistics by which the model of a checkpoint normalises its channels, {"0": {"mean": ...}, ...}.

    channels : those that are wanted, with the names of their normalisation in nnU-Net's dataset.json ("CT").

    Raises InputError if the checkpoint does not carry its plans, or normalises one of the channels otherwise.
    """
    try:
        plans = load_checkpoint(checkpoint)["init_args"]["plans"]
        statistics = plans["foreground_intensity_properties_per_channel"]
        schemes = next(iter(plans["configurations"].values()))["normalization_schemes"]
        wanted = {index: dict(statistics[index]) for index in channels}
        differing = [index for index, kind in channels.items() if schemes[int(index)] != f"{kind}Normalization"]
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        raise InputError(
            f"does not say how its model normalises ({type(error).__name__}: {error})",
            where=checkpoint,
            mend="give a checkpoint as nnU-Net writes it, or set train.pretrained_normalisation to false",
        ) from error
    if differing:
        raise InputError(
            f"normalises channel {', '.join(differing)} in another way than here",
            where=checkpoint,
            mend="set train.pretrained_normalisation to false",
        )
    return wanted


def _with_one_stem(given: dict[str, torch.Tensor], stem: str | None, *, where: object) -> dict[str, torch.Tensor]:
    """Weights in which the tensors of the stem that is asked for, or the only one, have the names of a plain stem."""
    named = {name: found for name in given if (found := _NAMED_STEM.fullmatch(name))}
    stems = sorted({found["name"] or found["number"] for found in named.values()})
    if not stems:
        if stem is not None:
            raise InputError(f"has one stem without a name, not {stem!r}", where=where, mend=_MEND_STEM)
        return given
    if stem is None and len(stems) > 1:
        raise InputError(f"has the stems {', '.join(stems)}", where=where, mend="name one as train.pretrained_stem")
    if stem is not None and stem not in stems:
        raise InputError(f"has no stem {stem!r}, only {', '.join(stems)}", where=where, mend=_MEND_STEM)
    chosen = stem or stems[0]
    renamed = {
        f"{_STEM}{found['rest']}": given[name]
        for name, found in named.items()
        if (found["name"] or found["number"]) == chosen
    }
    return {name: tensor for name, tensor in given.items() if name not in named} | renamed


_MEND_STEM = "correct train.pretrained_stem, or leave it empty where there is only one"


def _require_taken(network: nn.Module, used: set[str], *, where: object, lesion_head: bool) -> None:
    """InputError if nothing, no stem tensor or no wanted head was taken from a checkpoint."""
    mend = "give a ResEncL checkpoint of nnU-Net trained on CT and PET, or leave train.pretrained empty"
    if not used:
        raise InputError("no tensor of this checkpoint fits the network", where=where, mend=mend)
    for prefix, what in ((_STEM, "the first layers (the stem)"), (_LESION_HEAD, "the lesion head")):
        wanted = prefix == _STEM or lesion_head
        kernels = {
            _plain_name(name)
            for name, parameter in network.named_parameters()
            if _plain_name(name).startswith(prefix) and parameter.ndim > 1
        }
        if wanted and kernels and not kernels & used:
            raise InputError(f"no tensor of this checkpoint fits {what} of the network", where=where, mend=mend)


def _plain_name(name: str) -> str:
    for alias, plain in _ALIASES:
        name = name.replace(alias, plain)
    return name


def _fewer_channels(source: torch.Tensor, parameter: torch.Tensor) -> bool:
    return (
        source.ndim == parameter.ndim > 1
        and source.shape[1] < parameter.shape[1]
        and source.shape[:1] + source.shape[2:] == parameter.shape[:1] + parameter.shape[2:]
    )
