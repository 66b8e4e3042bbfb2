"""`clickpet config`: check config files as the workflow would, with a line for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Targets of the workflow: given without `--`, Snakemake takes them for config files.
TARGETS = ("all", "prepare", "train", "evaluate", "interactive", "predict", "report", "check_gpu")


def config(
    files: Annotated[list[Path], typer.Argument(help="Config files, the later one wins, as after --configfile.")],
) -> None:
    """Check config files: YAML, keys, values, and what contradicts itself.

    Snakemake reads these files before the workflow does, and tells of broken YAML without the line, of a missing file
    with a traceback. This names the file and the line.
    """
    from snakemake.utils import update_config

    from clickpet.config import ConfigError, read_config, resolve
    from clickpet.errors import InputError
    from clickpet.nnunet.patch_size import check_patch_size

    merged: dict = {}
    for file in files:
        if file.name in TARGETS and not file.exists():
            mend = f"write `--` before targets: --configfile ... -- {file.name}"
            raise InputError(f"{file.name} is a target, not a config file", mend=mend)
        update_config(merged, read_config(file))
    try:
        train = resolve(merged)["train"]
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    check_patch_size(train["patch_size"], max_stages=train["topology"]["max_stages"], spacing_mm=train["spacing_mm"])
    typer.echo(f"{', '.join(str(file) for file in files)}: no mistake found")
