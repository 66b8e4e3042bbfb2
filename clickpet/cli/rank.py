"""`clickpet rank`: methods by the challenge's rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickpet.errors import InputError


def rank(
    methods: Annotated[
        list[str],
        typer.Argument(help="NAME=TABLE of each: interactive.tsv, scores.tsv, or a folder of results that holds them."),
    ],
    out: Annotated[Path | None, typer.Option(help="Also write the ranking here, tab-separated.")] = None,
) -> None:
    """Rank methods on the same studies as autoPET IV does: means over tracer and centre, weighted ranks."""
    from clickpet.evaluate.ranking import compare_methods, read_scores
    from clickpet.evaluate.tables import write_table

    paths: dict[str, str] = {}
    for method in methods:
        name, sign, path = method.partition("=")
        if not (name and sign and path):
            raise InputError(f"{method!r} is no method", mend="write NAME=TABLE, for example mine=results/scores.tsv")
        if name in paths:
            raise InputError(f"{name!r} is given twice", mend="give each method a name of its own")
        paths[name] = path
    ranking = compare_methods({name: read_scores(path) for name, path in paths.items()})
    typer.echo(ranking.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    if out:
        write_table(out, ranking)
