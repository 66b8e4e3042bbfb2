"""`clickpet fetch-weights`: what needs the internet, fetched beforehand and with checksums."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Wanted(StrEnum):
    """What can be fetched."""

    organs = "organs"
    pretrained = "pretrained"


def fetch_weights(
    what: Annotated[
        list[Wanted] | None,
        typer.Argument(help="organs: TotalSegmentator's models; pretrained: the autoPET III winner (3.8 GB)."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for the weights (organs.weights); by default where TotalSegmentator keeps its own."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="TotalSegmentator's 3 mm models (organs.fast).")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fetch nothing: compare what is there with its lock.")] = False,
) -> None:
    """Fetch the weights that the workflow may need, on a machine with internet; copy the folder to others."""
    from clickpet.models.downloads import LESIONTRACER, fetch, organ_archives
    from clickpet.models.downloads import check as check_weights
    from clickpet.organs.totalsegmentator import TASKS, weights_folder

    folder = weights_folder(to)
    if check:
        for name in check_weights(folder):
            typer.echo(f"{name}: checksums fit")
        return
    archives = []
    for wanted in what or [Wanted.organs]:
        archives += organ_archives(TASKS, fast=fast) if wanted is Wanted.organs else [LESIONTRACER]
    fetch(archives, folder, progress=typer.echo)
    typer.echo(f"weights are in {folder}; set organs.weights to it where it is not TotalSegmentator's own folder")
    if LESIONTRACER in archives:
        for path in sorted((folder / LESIONTRACER.name).rglob("fold_*/checkpoint_final.pth")):
            typer.echo(f"train.pretrained: {path}")
