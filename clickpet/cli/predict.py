"""`clickpet predict`: a new patient's scans and clicks to lesions, by the workflow's own rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickpet.cli.dicom_options import ContourSlices, ContoursOn, Identity, RtStruct, Sr


def predict(
    ct: Annotated[Path, typer.Option(help="CT in HU: NIfTI, .mha or a DICOM folder; any grid.", show_default=False)],
    pet: Annotated[Path, typer.Option(help="PET in SUV (g/ml), or a DICOM folder.", show_default=False)],
    models: Annotated[Path, typer.Option(help="Folder with fdg/, psma/, tracer/.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for mask, lesion table and page.", show_default=False)],
    clicks: Annotated[
        Path | None,
        typer.Option(help="Grand Challenge JSON, plain JSON or 3D Slicer Markups.", show_default=False),
    ] = None,
    tracer: Annotated[str, typer.Option(help="fdg or psma; else the discriminator finds it.", show_default=False)] = "",
    case: Annotated[
        str, typer.Option(help="Name of the case; else what its files or folder are called.", show_default=False)
    ] = "",
    work: Annotated[
        Path | None,
        typer.Option(help="Keep the work here: a second call does only what changed.", show_default=False),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with config keys that differ.", show_default=False)] = None,
    seg: Annotated[bool, typer.Option("--seg", help="Also as DICOM SEG, where the PET is DICOM.")] = False,
    rtstruct: RtStruct = False,
    sr: Sr = False,
    contours_on: ContoursOn = ContourSlices.pet,
    identity: Annotated[
        Identity, typer.Option(help="Patient of DICOM objects: the case name, or what the PET says (for the archive).")
    ] = Identity.case,
    cores: Annotated[int | None, typer.Option(min=1, help="CPU cores; all by default.", show_default=False)] = None,
) -> None:
    """Segment the lesions of one patient; the same rules as in the workflow."""
    from clickpet.config import read_config
    from clickpet.workflow.new_patient import DicomObjects, NewPatient, name_of, predict_patient

    asked = {"seg": seg, "rtstruct": rtstruct, "sr": sr}
    found = predict_patient(
        NewPatient(case or name_of(pet), ct, pet, clicks, tracer.lower()),
        models,
        out,
        work=work,
        config=read_config(config) if config else {},
        cores=cores,
        objects=DicomObjects(tuple(kind for kind in asked if asked[kind]), identity.value, contours_on.value),
        progress=lambda step: typer.echo(f"  {step}", err=True),
    )
    for path in found.values():
        typer.echo(path)
