"""Options and messages that `clickpet import-model` and `clickpet export-model` share."""

from __future__ import annotations

from typing import Annotated

import typer

from clickpet.errors import InputError

Folds = Annotated[str, typer.Option(help="Such as 0,1,2,all; by default all that are there.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
#: Names of tensors that are told on the terminal; import.json has all.
_NAMES_TOLD = 4


def parse_folds(folds: str) -> list[str] | None:
    """Names of folds in the option --folds; None for all that are there."""
    names = folds.replace(",", " ").split()
    if not all(name.isdecimal() or name == "all" for name in names) or len(set(names)) < len(names):
        raise InputError(f"--folds {folds!r} names no folds", mend="write --folds 0,1,2")
    return names or None


def count_tensors(keys: dict) -> str:
    """How many tensors were copied, widened, new, skipped, and the first names of what was not copied."""
    texts = [f"{len(keys['copied'])} tensors copied"]
    for what in ("widened", "new", "skipped"):
        names = keys.get(what, [])
        if names:
            more = ", ..." if len(names) > _NAMES_TOLD else ""
            texts.append(f"{len(names)} {what} ({', '.join(names[:_NAMES_TOLD])}{more})")
    return ", ".join(texts)
