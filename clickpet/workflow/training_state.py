"""Checkpoints of the lesion trainings by their keys: what a training will do when it runs, and what earlier keys left.

`clickpet.train.lesion_fold` keeps checkpoints under `results/training/{tracer}/fold_{fold}/{key}/`; the key is a hash
of all that decides the outcome. Nothing here deletes a checkpoint but `drop_superseded`, which a person asks for.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clickpet.files import read_json
from clickpet.train.checkpoints import FINAL, LATEST
from clickpet.train.key import CURRENT, fold_cases, training_key

#: What a dry run says of a training.
TAKEN_OVER = "finished under these settings before: taken over, no training"
GOES_ON = "goes on from the checkpoint of these settings"
FROM_START = "from the start"
NOT_KNOWN = "known when its data and plans are made: taken over where they come out as before"


def training_state(
    results: str | Path,
    tracer: str,
    fold: str,
    *,
    cases: Sequence[str],
    options,
    method: str,
    pretrained: str | Path | None,
) -> str:
    """What `train_lesion_fold` would do now: TAKEN_OVER, GOES_ON or FROM_START; NOT_KNOWN where files are missing.

    results : folder of results;  cases : slugs of the tracer's train cases;  options : its TrainingOptions;
    method, pretrained : as for `clickpet.train.lesion_fold.training_key`.
    """
    model = Path(results, "models", tracer)
    try:
        plans, dataset, digests = (read_json(model / f"{name}.json") for name in ("plans", "dataset", "training_set"))
        case_split = fold_cases(read_json(Path(results, "splits.json")), cases, fold)
        key = training_key(plans, dataset, options, case_split, digests, method=method, pretrained=pretrained)
    except (OSError, ValueError, KeyError):
        return NOT_KNOWN
    folder = Path(results, "training", tracer, f"fold_{fold}", key)
    if next(folder.rglob(FINAL), None):
        return TAKEN_OVER
    return GOES_ON if next(folder.rglob(LATEST), None) else FROM_START


@dataclass(frozen=True)
class Superseded:
    """Checkpoints of settings that a fold's newest training does not have. size : bytes that dropping them frees."""

    tracer: str
    fold: str
    folder: Path
    finished: bool
    size: int


def superseded(results: str | Path) -> list[Superseded]:
    """Checkpoints of earlier settings, of every fold that was trained or is in training."""
    found = []
    for workspace in sorted(Path(results, "training").glob("*/fold_*")):
        current = workspace / CURRENT
        key = current.read_text(encoding="utf-8").strip() if current.is_file() else None
        for folder in sorted(path for path in workspace.iterdir() if path.is_dir() and key and path.name != key):
            files = [file for file in folder.rglob("*") if file.is_file()]
            size = sum(file.stat().st_size for file in files if file.stat().st_nlink == 1)
            finished = any(file.name == FINAL for file in files)
            fold = workspace.name.removeprefix("fold_")
            found.append(Superseded(workspace.parent.name, fold, folder, finished, size))
    return found


def drop_superseded(results: str | Path) -> list[Superseded]:
    """Delete checkpoints of earlier settings; returns what was deleted. Those of the newest training of a fold stay."""
    dropped = superseded(results)
    for one in dropped:
        shutil.rmtree(one.folder)
    return dropped
