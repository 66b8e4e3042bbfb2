"""Interactions given round by round, for evaluation: a folder with a file or folder for each study."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from clickpet.clicks.grouping import added_interactions, grow
from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.reading import read_clicks, read_rounds_of_file
from clickpet.errors import InputError


def find_round_files(folder: str | Path, slug: str) -> list[Path]:
    """The files of one study's rounds in `folder`, in their order; none if nobody interacted.

    Either `{slug}.json` (rounds in one file), or the files `{slug}/*.json`, one a round, sorted by the numbers in their
    names, or `{slug}/rounds/round_*/interaction.json`, as `results/cases` of a run evaluated in rounds has them.
    """
    folder = Path(folder)
    if (folder / f"{slug}.json").is_file():
        return [folder / f"{slug}.json"]
    for pattern in ("rounds/round_*/interaction.json", "*.json"):
        found = [path for path in (folder / slug).glob(pattern) if path.is_file() and not path.name.startswith(".")]
        if found and (pattern != "*.json" or not (folder / slug / "case.json").is_file()):
            return sorted(found, key=_by_numbers)
    return []


def _by_numbers(path: Path) -> list:
    """Key that sorts names by the numbers in them: round_2 before round_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def read_rounds(
    files: list[str] | list[Path], *, shape: tuple[int, int, int], affine: np.ndarray
) -> list[list[Interaction]]:
    """What is added in rounds 1, 2, ... of a study, from its files in their order.

    One file: its "rounds", else each of its clicks and scribbles is a round. Several: a file a round, which holds all
    points so far or its own alone. A first round without points is round 0, the one without interaction.
    Raises InputError as `clickpet.clicks.reading.read_clicks` does.
    """
    if not files:
        return []
    if len(files) == 1:
        rounds = read_rounds_of_file(files[0], shape=shape, affine=affine)
    else:
        rounds = [read_clicks(file, shape=shape, affine=affine) for file in files]
    if rounds and not rounds[0].most:
        rounds = rounds[1:]
    grown = [Clicks.empty(), *grow(rounds)]
    return [added_interactions(before, after) for before, after in pairwise(grown)]


def require_replay_folder(folder: str, slugs: list[str]) -> None:
    """Raise InputError unless `folder` holds the rounds of at least one of the studies."""
    if not folder or not Path(folder).is_dir():
        raise InputError(
            f"evaluate.replay is {folder!r}, no folder", mend="give the folder with the interactions to be replayed"
        )
    if not any(find_round_files(folder, slug) for slug in slugs):
        raise InputError(
            f"evaluate.replay: {folder} holds rounds of no study",
            mend=f"put in {slugs[0] if slugs else 'SLUG'}.json or a folder of that name with a file a round",
        )
