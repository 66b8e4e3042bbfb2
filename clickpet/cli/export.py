"""`clickpet export`: masks and lesion tables under the names that the studies came with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickpet.cli.dicom_options import ContourSlices, ContoursOn, Identity, RtStruct, Sr


def export(
    results: Annotated[Path, typer.Argument(help="Folder of results.")] = Path("results"),
    to: Annotated[Path | None, typer.Option(help="Folder to write; by default export/ in the results.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Cohort table; by default cohort.tsv of the results.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="Only this study (name or slug); may be repeated.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only train, test or predict; may be repeated.")] = None,
    identity: Annotated[
        Identity, typer.Option(help="Patient of DICOM objects: the case name, or what the PET says (for the archive).")
    ] = Identity.case,
    rtstruct: RtStruct = False,
    sr: Sr = False,
    contours_on: ContoursOn = ContourSlices.pet,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Export final masks as NIfTI on the PET's grid (of DICOM as SEG, too, RTSTRUCT and SR) and lesions as CSV."""
    from clickpet.cohort import read_cohort
    from clickpet.errors import InputError
    from clickpet.report.export import choose_studies, export_results, masks_of_no_study

    own = results / "cohort.tsv"
    if not cohort and not own.is_file():
        raise InputError(
            "has no cohort.tsv", where=results, mend="give the cohort table of these results with --cohort"
        )
    table = read_cohort(cohort or own)
    studies, without = choose_studies(table, results, cases=case or (), splits=split or ())
    to = to or results / "export"
    kinds = ["seg", *["rtstruct"] * rtstruct, *["sr"] * sr]
    how = {"identity": identity.value, "contours_on": contours_on.value}
    done = export_results(studies, results, to, kinds=kinds, jobs=jobs, progress=typer.echo, **how)
    segs = sum("seg" in one.objects for one in done)
    typer.echo(f"{len(done)} studies are in {to}, {segs} of them also as DICOM SEG")
    if without:
        some = ", ".join(study.case for study in without[:4])
        typer.echo(f"{len(without)} have no mask yet and were left: {some}{', ...' if len(without) > 4 else ''}")
    strange = masks_of_no_study(table, results)
    if strange:
        typer.echo(f"{len(strange)} more masks there belong to no row of the table ({strange[0]}); see --cohort")
