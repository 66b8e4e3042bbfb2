"""`clickpet cohort`: write the cohort table from a data set on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Write the cohort table from a data set on disk.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]
Out = Annotated[Path, typer.Option(help="Table to write.")]
Relative = Annotated[bool, typer.Option("--relative", help="Write paths relative to the working directory.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a table that is there already.")]
Tracer = Annotated[str | None, typer.Option(help="fdg or psma, for all studies; else what folder names say.")]
Centre = Annotated[str | None, typer.Option(help="Centre of all studies.")]
Split = Annotated[str | None, typer.Option(help="train, test or predict, for all studies; else by what there is.")]
Clicks = Annotated[Path | None, typer.Option(help="Folder of {case}_clicks.json.", show_default=False)]
Pattern = Annotated[list[str] | None, typer.Option(metavar="PATTERN", show_default=False)]

DEFAULT_TABLE = Path("config/cases.tsv")


@app.command()
def autopet(
    folder: Folder,
    clicks: Clicks = None,
    organs: Annotated[Path | None, typer.Option(help="Folder of organ maps {case}.nii.gz.", show_default=False)] = None,
    centre: Centre = None,
    split: Split = None,
    out: Out = DEFAULT_TABLE,
    relative: Relative = False,
    force: Force = False,
) -> None:
    """From an unpacked autoPET III or IV training set (imagesTr, labelsTr, metadata tables)."""
    from clickpet.ingest.autopet_cohort import build_from_autopet

    _write(build_from_autopet(folder, clicks=clicks, organs=organs, centre=centre, split=split), out, relative, force)


@app.command()
def nifti(
    folder: Folder,
    ct: Pattern = None,
    pet: Pattern = None,
    label: Pattern = None,
    clicks: Pattern = None,
    organs: Pattern = None,
    tracer: Tracer = None,
    centre: Centre = None,
    split: Split = None,
    out: Out = DEFAULT_TABLE,
    relative: Relative = False,
    force: Force = False,
) -> None:
    """From folders that each hold CT, PET and mask of one study as NIfTI.

    A PATTERN is a file name with * in it; give an option again for a second choice. Usual names are known already.
    """
    from clickpet.ingest.nifti_cohort import build_from_nifti

    patterns = {"ct": ct, "pet": pet, "label": label, "clicks": clicks, "organs": organs}
    cohort = build_from_nifti(folder, patterns=patterns, tracer=tracer, centre=centre, split=split)
    _write(cohort, out, relative, force)


@app.command()
def dicom(
    folder: Folder,
    clicks: Clicks = None,
    tracer: Tracer = None,
    centre: Centre = None,
    split: Split = None,
    out: Out = DEFAULT_TABLE,
    relative: Relative = False,
    force: Force = False,
) -> None:
    """From a tree of DICOM studies: each PET series, its CT, and its mask (SEG or RTSTRUCT) if there is one."""
    from clickpet.ingest.dicom_cohort import build_from_dicom

    _write(build_from_dicom(folder, clicks=clicks, tracer=tracer, centre=centre, split=split), out, relative, force)


@app.command()
def bids(
    folder: Folder,
    derivatives: Annotated[
        Path | None, typer.Option(help="Folder of masks and clicks; else derivatives/.", show_default=False)
    ] = None,
    tracer: Tracer = None,
    centre: Centre = None,
    split: Split = None,
    out: Out = DEFAULT_TABLE,
    relative: Relative = False,
    force: Force = False,
) -> None:
    """From a BIDS data set: sub-*/ses-*/pet/*_pet.nii.gz with its JSON, CT beside it, masks in derivatives."""
    from clickpet.ingest.bids_cohort import build_from_bids

    cohort = build_from_bids(folder, derivatives=derivatives, tracer=tracer, centre=centre, split=split)
    _write(cohort, out, relative, force)


def _write(cohort, out: Path, relative: bool, force: bool) -> None:
    from clickpet.ingest.cohort_builder import summary_text, write_table

    typer.echo(summary_text(cohort))
    write_table(cohort, out, relative=relative, force=force)
    typer.echo(f"written {out}")
