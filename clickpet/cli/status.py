"""`clickpet status`: how far the run of a folder is, what failed and where its log is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    folder: Annotated[Path, typer.Argument(help="The folder where Snakemake is started.", file_okay=False)] = Path("."),
) -> None:
    """Say what runs, what waits, epochs done and time left of each training, what failed and where its log is."""
    from clickpet.workflow.status import report_status

    typer.echo(report_status(folder))
