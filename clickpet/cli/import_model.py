"""`clickpet import-model`: weights from elsewhere into a folder of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clickpet.cli.model_options import Folds, Force, count_tensors, parse_folds
from clickpet.errors import InputError


class Kind(StrEnum):
    """What a model is for."""

    fdg = "fdg"
    psma = "psma"
    joint = "joint"
    tracer = "tracer"
    pretrained = "pretrained"


def import_model(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="fdg, psma, joint: lesion models; tracer: the discriminator; pretrained: a model of CT and PET to "
            "start from."
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
    from clickpet.models.collection import REPORT, add_model, add_pretrained, shown_as

    members = parse_folds(folds)
    if kind is Kind.pretrained:
        if len(members or ()) > 1 or settings:
            raise InputError("a pretrained start is one fold, without --settings", mend="give --folds 0")
        report = add_pretrained(source, models, fold=members[0] if members else None, replace=force)
        typer.echo(f"{report['source']}: {count_tensors(report)}")
        typer.echo(f"train.pretrained: {models / 'pretrained.pth'}")
        return
    shown = shown_as(settings) if settings else None
    report = add_model(kind.value, source, models, folds=members, shown=shown, replace=force)
    for fold, keys in report["folds"].items():
        typer.echo(f"fold {fold}: {keys['file']}: {count_tensors(keys)}")
    if report["settings_from"] == "assumed":
        typer.echo(
            f"warning: {source} has no settings.json: taken for a released model (gate 4 g/ml, sign of background "
            "clicks); if it is not one, import it again with --settings paper or the config of its training, --force",
            err=True,
        )
    for name, options in report["shown"].items():
        told = ", ".join(f"{key} {value}" for key, value in options.items()) if options else "not known"
        typer.echo(f"{name}: {told}")
    typer.echo(f"{kind.value} is in {models / kind.value}; every tensor's name is in its {REPORT}")
