"""Training curves of lesion models and discriminators, read from their `training.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clickpet.files import read_json


@dataclass(frozen=True)
class TrainingCurve:
    """One training: a value per epoch, NaN where there is none.

    fold : "0" ... or "all";  quality : pseudo-Dice of a lesion model, accuracy of the discriminator on its stopping
    cases;  training_cases, held_out_cases : numbers of studies;  held_out_quality : accuracy of the discriminator on
    the fold's own cases (None: not known);  constant : the tracer that a discriminator always answers, or None;
    stopping_cases : studies that a discriminator was watched on for early stopping;  options, pretrained : of a lesion
    model, as `training.json` has them.
    """

    fold: str
    epochs: np.ndarray
    train_loss: np.ndarray
    val_loss: np.ndarray
    quality: np.ndarray
    training_cases: int | None = None
    held_out_cases: int | None = None
    held_out_quality: float | None = None
    constant: str | None = None
    stopping_cases: int = 0
    options: Mapping = field(default_factory=dict)
    pretrained: Mapping | None = None


def read_training(path: str | Path) -> TrainingCurve:
    """The curve in a `training.json` of a lesion model or of the discriminator, lying in `fold_{fold}/`."""
    record = read_json(path)
    fold = Path(path).parent.name.removeprefix("fold_")
    if "pseudo_dice" in record:
        return TrainingCurve(
            fold,
            *(_numbers(record[name]) for name in ("epochs", "train_loss", "val_loss", "pseudo_dice")),
            training_cases=len(record["training_cases"]),
            held_out_cases=len(record["validation_cases"]),
            options=record.get("options", {}),
            pretrained=record.get("pretrained"),
        )
    rows = record["epochs"]
    columns = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
    return TrainingCurve(
        fold,
        *(_numbers([row[name] for row in rows]) for name in columns),
        training_cases=record["train"],
        held_out_cases=record["held_out"],
        held_out_quality=record["held_out_accuracy"],
        constant=record["constant"],
        stopping_cases=record["stopping"],
    )


def read_training_by_model(paths: Iterable[str | Path]) -> dict[str, list[TrainingCurve]]:
    """Curves by model ("fdg", "psma", "tracer") of files `{model}/fold_{fold}/training.json`."""
    curves: dict[str, list[TrainingCurve]] = {}
    for path in paths:
        curves.setdefault(Path(path).parent.parent.name, []).append(read_training(path))
    return curves


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)
