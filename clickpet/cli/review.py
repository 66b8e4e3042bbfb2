"""`clickpet review`: look at a study in the browser, click, see the mask change, save."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def review(
    results: Annotated[
        Path | None, typer.Argument(help="Folder of results of a finished run: its worklist.", show_default=False)
    ] = None,
    ct: Annotated[
        Path | None, typer.Option(help="CT in HU: NIfTI, .mha or a DICOM folder; any grid.", show_default=False)
    ] = None,
    pet: Annotated[Path | None, typer.Option(help="PET in SUV (g/ml), or a DICOM folder.", show_default=False)] = None,
    models: Annotated[Path | None, typer.Option(help="Folder with fdg/, psma/, tracer/.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for what is saved.", show_default=False)] = None,
    clicks: Annotated[
        Path | None, typer.Option(help="Clicks that there are already, in any format.", show_default=False)
    ] = None,
    tracer: Annotated[str, typer.Option(help="fdg or psma; else the discriminator finds it.", show_default=False)] = "",
    case: Annotated[
        str, typer.Option(help="Name of the case; else what its files or folder are called.", show_default=False)
    ] = "",
    cohort: Annotated[
        Path | None, typer.Option(help="The run's cohort table, where it was moved.", show_default=False)
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with config keys that differ.", show_default=False)] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Review one study (--ct, --pet, --models, --out) or the worklist of a run (RESULTS) in the browser."""
    from clickpet.config import read_config
    from clickpet.errors import InputError
    from clickpet.review.run_folder import RunFolder
    from clickpet.review.serving import serve_page
    from clickpet.review.single_study import SingleStudy
    from clickpet.slugs import output_name
    from clickpet.workflow.new_patient import name_of

    given = {"--ct": ct, "--pet": pet, "--models": models, "--out": out}
    if results is not None:
        too_much = [option for option, value in {**given, "--clicks": clicks, "--config": config}.items() if value]
        if too_much:
            raise InputError(
                f"a worklist takes no {too_much[0]}", mend="give a folder of results, or one study with its models"
            )
        studies = RunFolder.open(results, cohort=cohort).studies()
    else:
        missing = [option for option, value in given.items() if value is None]
        if missing:
            raise InputError(
                f"{', '.join(missing)} missing",
                mend="give --ct, --pet, --models and --out for one study, or a folder of results",
            )
        if tracer.lower() not in ("", "fdg", "psma"):
            raise InputError(f"unknown tracer {tracer!r}", where="--tracer", mend="give fdg or psma")
        study = SingleStudy(
            name=output_name(case or name_of(pet)), ct=ct, pet=pet, models_folder=models, out=out, clicks=clicks,
            tracer=tracer.lower(), config=read_config(config) if config else {},
        )  # fmt: skip
        study.check()
        studies = [study]
    serve_page(studies, host=host, port=port, open_browser=browser, tell=lambda line: typer.echo(line, err=True))
