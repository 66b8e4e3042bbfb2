"""`clickpet export-model`: a lesion model as a plain nnU-Net model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickpet.cli.model_options import Folds, Force, count_tensors, parse_folds


def export_model(
    source: Annotated[Path, typer.Argument(help="Lesion model, such as results/models/fdg.", show_default=False)],
    to: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    folds: Folds = "",
    force: Force = False,
) -> None:
    """Write a lesion model as a plain nnU-Net model, organ head dropped, for nnUNetv2_predict_from_modelfolder."""
    from clickpet.models.collection import export_lesion_model

    report = export_lesion_model(source, to, folds=parse_folds(folds), replace=force)
    for fold, keys in report["folds"].items():
        typer.echo(f"fold {fold}: {count_tensors(keys)}")
    if not report["settings"]:
        typer.echo(
            f"warning: {source} has no settings.json beside it, so the export has none: say at its import with "
            "--settings what it was trained with",
            err=True,
        )
    typer.echo(
        f"nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m {to} -f {' '.join(report['folds'])}   "
        "(IMAGES: {case}_0000 CT in HU, _0001 PET in SUV, _0002 click heatmap; "
        "_0003 mask of the round before, for models trained with train.previous_mask)"
    )
