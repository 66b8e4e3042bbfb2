"""`clickpet status`: how far the run of a folder is, what failed and where its log is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    folder: Annotated[Path, typer.Argument(help="The folder where Snakemake is started.", file_okay=False)] = Path("."),
    drop_superseded_checkpoints: Annotated[
        bool, typer.Option("--drop-superseded", help="Delete the checkpoints of trainings with earlier settings.")
    ] = False,
) -> None:
    """Say what runs, what waits, epochs done and time left of each training, what failed and where its log is."""
    from clickpet.workflow.status import report_status
    from clickpet.workflow.training_state import drop_superseded

    if drop_superseded_checkpoints:
        for one in drop_superseded(folder / "results"):
            typer.echo(f"dropped {one.folder}")
    typer.echo(report_status(folder))
