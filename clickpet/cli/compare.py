"""`clickpet compare`: two or more folders of results, study by study, for ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickpet.errors import InputError


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="NAME=FOLDER of each run, FOLDER holding scores.tsv; the first is the reference."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for comparison.html, .tsv and .tex.")] = Path("comparison"),
    repeats: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 2000,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 42,
) -> None:
    """Compare runs on the same studies: paired differences with intervals over patients, ranking, curves."""
    from clickpet.evaluate.comparison import read_run_folder
    from clickpet.report.comparison_page import write_comparison

    write_comparison(
        [read_run_folder(name, folder) for name, folder in map(_named, runs)],
        page=out / "comparison.html",
        table=out / "comparison.tsv",
        latex=out / "comparison.tex",
        repeats=repeats,
        confidence=confidence,
        seed=seed,
    )
    typer.echo(f"comparison is in {out / 'comparison.html'}")


def _named(run: str) -> tuple[str, Path]:
    name, sign, folder = run.partition("=")
    if not (name and sign and folder):
        raise InputError(f"{run!r} is no run", mend="write NAME=FOLDER, for example full=results")
    return name, Path(folder)
