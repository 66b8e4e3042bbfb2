"""Options of DICOM objects that `clickpet export` and `clickpet predict` share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Identity(StrEnum):
    """Whom a DICOM object names."""

    case = "case"
    source = "source"


class ContourSlices(StrEnum):
    """Whose slices carry the contours of an RTSTRUCT."""

    pet = "pet"
    ct = "ct"


RtStruct = Annotated[bool, typer.Option("--rtstruct", help="Also as RT Structure Set, where the PET is DICOM.")]
Sr = Annotated[bool, typer.Option("--sr", help="Measurements as DICOM SR (TID 1500), where the PET is DICOM.")]
ContoursOn = Annotated[ContourSlices, typer.Option(help="Slices that carry the contours of an RTSTRUCT.")]
