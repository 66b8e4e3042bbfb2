"""Key of a training: a hash of all that decides its outcome, and the files that it is made of.

Checkpoints lie under it, so that one is only ever resumed by the training it was begun with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clickpet.errors import InputError
from clickpet.nnunet.stored_case import check_stored_case
from clickpet.train.options import TrainingOptions

#: File of a workspace that names the key of the newest training.
CURRENT = "current"
#: Options that do not change what is learned.
_WITHOUT_EFFECT = ("save_every",)


def fold_cases(splits: dict, cases: Sequence[str], fold: str) -> tuple[list[str], list[str]]:
    """Training and validation cases of a fold among `cases` (slugs); fold "all" trains and validates on all.

    The validation cases only make the curve: the last checkpoint is kept, never the best one. Where a fold
    holds none of `cases` the curve is made on the training cases.
    """
    if fold == "all":
        return list(cases), list(cases)
    absent = [case for case in cases if case not in splits["cases"]]
    if absent:
        raise InputError(
            f"has no fold for {absent[0]}", where="results/splits.json", mend="delete it: the folds are drawn again"
        )
    held_out = [case for case in cases if str(splits["cases"][case]) == fold]
    training = [case for case in cases if str(splits["cases"][case]) != fold]
    if not training:
        raise InputError(
            f"fold {fold} leaves no case to train on", mend="use fewer folds or add patients of this tracer"
        )
    return training, held_out or training


def data_digest(properties: str | Path) -> str:
    """Digest of a preprocessed case's data, which its properties (.pkl) carry; InputError if its files were cut off."""
    return check_stored_case(properties)["digest"]


def data_digests(preprocessed: str | Path, case_split: tuple[list[str], list[str]]) -> dict[str, str]:
    """Digests of the data of all cases of a training, from their properties in the folder `preprocessed`."""
    return {case: data_digest(Path(preprocessed, f"{case}.pkl")) for case in {*case_split[0], *case_split[1]}}


def training_key(
    plans: dict,
    dataset: dict,
    options: TrainingOptions,
    case_split: tuple[list[str], list[str]],
    digests: dict[str, str],
    *,
    method: str,
    pretrained: str | Path | None,
) -> str:
    """Hash of all that decides the outcome of a training: plans, options, method, cases and their data.

    A checkpoint is only ever resumed under the key it was begun with. How often it is saved (`save_every`) does not
    count.

    plans, dataset, options, case_split, method, pretrained : as for `train_lesion_fold`;  digests : of the cases' data.
    """
    outcome = {name: value for name, value in asdict(options).items() if name not in _WITHOUT_EFFECT}
    plans = {name: value for name, value in plans.items() if name != "continue_training"}
    cases = sorted({*case_split[0], *case_split[1]})
    decides = [plans, dataset, outcome, method, case_split, [digests[case] for case in cases]]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    if pretrained:
        with open(pretrained, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
