"""`clickpet grand-challenge`: what the container for the Grand Challenge platform starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def grand_challenge(
    given: Annotated[
        Path, typer.Option("--input", envvar="CLICKPET_INPUT", help="Holds images/ct, images/pet, lesion-clicks.json.")
    ] = Path("/input"),
    output: Annotated[
        Path, typer.Option(envvar="CLICKPET_OUTPUT", help="Gets images/tumor-lesion-segmentation.")
    ] = Path("/output"),
    models: Annotated[Path, typer.Option(envvar="CLICKPET_MODELS", help="Folder with fdg/, psma/, tracer/.")] = Path(
        "/opt/clickpet/models"
    ),
    config: Annotated[
        Path | None, typer.Option(envvar="CLICKPET_CONFIG", help="YAML with config keys that differ.")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="CPU cores; all by default.", show_default=False)] = None,
) -> None:
    """Segment the case that the Grand Challenge platform laid out."""
    from clickpet.config import read_config
    from clickpet.workflow.grand_challenge import segment_case

    mask = segment_case(
        given,
        output,
        models,
        config=read_config(config) if config else {},
        cores=cores,
        progress=lambda step: typer.echo(f"  {step}", err=True),
    )
    typer.echo(mask)
