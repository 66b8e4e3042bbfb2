"""`clickpet import-model` and `export-model`: models of others into our folders, ours into plain nnU-Net's."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clickpet.errors import InputError

Folds = Annotated[str, typer.Option(help="Such as 0,1,2,all; by default all that are there.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
#: Names of tensors that are told on the terminal; import.json has all.
_NAMES_TOLD = 4


class Kind(StrEnum):
    """What a model is for."""

    fdg = "fdg"
    psma = "psma"
    tracer = "tracer"
    pretrained = "pretrained"


def import_model(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="fdg, psma: lesion models; tracer: the discriminator; pretrained: a model of CT and PET to start from."
        ),
    ],
    source: Annotated[
        Path, typer.Argument(help="nnU-Net model folder; for tracer a file or a folder of files.", show_default=False)
    ],
    models: Annotated[Path, typer.Option(help="Folder of models to add it to.", show_default=False)],
    folds: Folds = "",
    settings: Annotated[
        str,
        typer.Option(
            help="What heatmaps and MIPs the model was trained with: released, paper, or the config (YAML) of its "
            "training; by default what settings.json beside it says, else released.",
            show_default=False,
        ),
    ] = "",
    force: Force = False,
) -> None:
    """Bring weights from elsewhere into a folder of models for `clickpet predict`; nothing in them is run."""
    from clickpet.model_collection import REPORT, add_model, add_pretrained, shown_as

    members = _members(folds)
    if kind is Kind.pretrained:
        if len(members or ()) > 1 or settings:
            raise InputError("a pretrained start is one fold, without --settings", mend="give --folds 0")
        report = add_pretrained(source, models, fold=members[0] if members else None, replace=force)
        typer.echo(f"{report['source']}: {_count(report)}")
        typer.echo(f"train.pretrained: {models / 'pretrained.pth'}")
        return
    shown = shown_as(settings) if settings else None
    report = add_model(kind.value, source, models, folds=members, shown=shown, replace=force)
    for fold, keys in report["folds"].items():
        typer.echo(f"fold {fold}: {keys['file']}: {_count(keys)}")
    for name, options in report["shown"].items():
        told = ", ".join(f"{key} {value}" for key, value in options.items()) if options else "not known"
        typer.echo(f"{name}: {told}")
    typer.echo(f"{kind.value} is in {models / kind.value}; every tensor's name is in its {REPORT}")


def export_model(
    source: Annotated[Path, typer.Argument(help="Lesion model, such as results/models/fdg.", show_default=False)],
    to: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    folds: Folds = "",
    force: Force = False,
) -> None:
    """Write a lesion model as a plain nnU-Net model, organ head dropped, for nnUNetv2_predict_from_modelfolder."""
    from clickpet.model_collection import export_lesion_model

    report = export_lesion_model(source, to, folds=_members(folds), replace=force)
    for fold, keys in report["folds"].items():
        typer.echo(f"fold {fold}: {_count(keys)}")
    typer.echo(
        f"nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m {to} -f {' '.join(report['folds'])}   "
        "(IMAGES: {case}_0000 CT in HU, _0001 PET in SUV, _0002 click heatmap)"
    )


def _members(folds: str) -> list[str] | None:
    names = folds.replace(",", " ").split()
    if not all(name.isdecimal() or name == "all" for name in names) or len(set(names)) < len(names):
        raise InputError(f"--folds {folds!r} names no folds", mend="write --folds 0,1,2")
    return names or None


def _count(keys: dict) -> str:
    """How many tensors were copied, widened, new, skipped, and the first names of what was not copied."""
    texts = [f"{len(keys['copied'])} tensors copied"]
    for what in ("widened", "new", "skipped"):
        names = keys.get(what, [])
        if names:
            more = ", ..." if len(names) > _NAMES_TOLD else ""
            texts.append(f"{len(names)} {what} ({', '.join(names[:_NAMES_TOLD])}{more})")
    return ", ".join(texts)
