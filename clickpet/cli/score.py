"""`clickpet score`: all scores of two masks, printed as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    truth: Annotated[Path, typer.Option(help="True mask, non-zero is lesion.")],
    prediction: Annotated[Path, typer.Option(help="Predicted mask on the same grid.")],
    pet: Annotated[Path | None, typer.Option(help="PET in SUV on the same grid, for TLG and SUVmax.")] = None,
) -> None:
    """Score a mask against the truth: Dice, FPV, FNV, lesion matching, volumes, under the names of the tables."""
    from clickpet.evaluate.scores import check_one_grid, score_and_match, score_case
    from clickpet.files import json_text
    from clickpet.images import read_image

    images = {str(path): read_image(path) for path in (truth, prediction, pet) if path is not None}
    check_one_grid(images, mend="bring truth, prediction and PET to one grid")
    truth_image, predicted = (images[str(path)] for path in (truth, prediction))
    if pet is None:
        scores, matches = score_and_match(predicted.array, truth_image.array, truth_image.affine)
        scores |= matches.score()
    else:
        suv = images[str(pet)].array
        scores, _ = score_case(predicted.array, truth_image.array, suv, truth_image.affine)
    typer.echo(json_text(scores), nl=False)
