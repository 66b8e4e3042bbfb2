"""Training one fold of a lesion model, so that it survives whatever kills it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

from clickpet.claim import Claim
from clickpet.errors import InputError
from clickpet.files import replacing

FINAL, LATEST = "checkpoint_final.pth", "checkpoint_latest.pth"
#: Curves of a training, by their names in nnU-Net's log.
CURVES = {
    "train_loss": "train_losses",
    "val_loss": "val_losses",
    "pseudo_dice": "mean_fg_dice",
    "pseudo_dice_smoothed": "ema_fg_dice",
    "learning_rate": "lrs",
}


def fold_cases(splits: dict, cases: Sequence[str], fold: str) -> tuple[list[str], list[str]]:
    """Training and validation cases of a fold among `cases` (slugs); fold "all" trains and validates on all.

    The validation cases only make the curve: the last checkpoint is kept, never the best one. Where a fold
    holds none of `cases` the curve is made on the training cases.
    """
    if fold == "all":
        return list(cases), list(cases)
    held_out = [case for case in cases if str(splits["cases"][case]) == fold]
    training = [case for case in cases if str(splits["cases"][case]) != fold]
    if not training:
        raise InputError(
            f"fold {fold} leaves no case to train on", mend="use fewer folds or add patients of this tracer"
        )
    return training, held_out or training


def data_digest(properties: str | Path) -> str:
    """Digest of a preprocessed case's data, which its properties (.pkl) carry."""
    with open(properties, "rb") as file:
        return pickle.load(file)["digest"]


def training_key(
    settings: Sequence[object], case_split: tuple[list[str], list[str]], preprocessed: Path, pretrained: str | None
) -> str:
    """Hash of all that decides the outcome of a training: settings, cases and the contents of their files.

    A checkpoint is only ever resumed under the key it was begun with.
    """
    digest = hashlib.sha256(json.dumps([*settings, case_split], sort_keys=True).encode())
    for case in sorted({*case_split[0], *case_split[1]}):
        digest.update(data_digest(preprocessed / f"{case}.pkl").encode())
    if pretrained:
        with open(pretrained, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def train_lesion_fold(
    *,
    plans: dict,
    dataset: dict,
    options,
    case_split: tuple[list[str], list[str]],
    fold: str,
    preprocessed: str | Path,
    fingerprint: str | Path,
    workspace: str | Path,
    pretrained: str | None = None,
    budget_s: float | None = None,
    device: str = "cpu",
    workers: int = 0,
    code: str = "",
) -> tuple[Path, dict]:
    """Train (or go on training) one fold; returns the final checkpoint's path and the curves.

    plans, dataset : of `clickpet.planning`;  options : TrainingOptions;  case_split : training and validation
    cases;  preprocessed : folder of the preprocessed cases;  fingerprint : dataset_fingerprint.json;  workspace :
    folder for checkpoints, kept outside the workflow's outputs and keyed by `training_key`, so that a run that was
    killed goes on from its last checkpoint and one with other settings starts anew;  budget_s : seconds after
    which to stop at a checkpoint;  workers : processes for augmentation (0: in this process,
    bit-reproducible);  code : version of the method, part of the key.

    Raises TimeBudgetReachedError when the budget is used up, TakenOverError when another process has begun the
    same training since.
    """
    import torch

    from clickpet.trainer import IMAGE_CHANNELS, ClickPetTrainer

    begun_s = time.time()
    plans = deepcopy(plans)
    plans["configurations"]["3d_fullres"]["clickpet"] = asdict(options)
    preprocessed = Path(preprocessed)
    key = training_key([plans, dataset, code], case_split, preprocessed, pretrained)
    workspace = Path(workspace)
    folder = workspace / key
    _forget_others(workspace, key)
    folder.mkdir(parents=True, exist_ok=True)
    claim = Claim(folder)
    shutil.copyfile(fingerprint, folder / "dataset_fingerprint.json")

    os.environ["nnUNet_n_proc_DA"] = str(workers)
    os.environ["nnUNet_results"] = str(folder)
    os.environ.pop("nnUNet_preprocessed", None)
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
    plans["continue_training"] = False
    fold_name = fold if fold == "all" else int(fold)
    trainer = ClickPetTrainer(plans, "3d_fullres", fold_name, dataset, torch.device(device))
    trainer.preprocessed_dataset_folder_base = str(folder)
    trainer.preprocessed_dataset_folder = str(preprocessed)
    trainer.case_split = case_split
    trainer.pretrained_checkpoint = pretrained
    trainer.deadline_s = None if budget_s is None else begun_s + budget_s

    output = Path(trainer.output_folder)
    for half in output.glob(".*.pth"):  # of a killed process, which was writing a checkpoint
        half.unlink(missing_ok=True)
    if not (output / FINAL).is_file():
        trainer.initialize()
        if (output / LATEST).is_file():
            trainer.load_checkpoint(str(output / LATEST))
            trainer.print_to_log_file(f"going on after epoch {trainer.current_epoch} of {trainer.num_epochs}")
        trainer.progress_file = str(workspace / "progress.json")
        trainer.claim = claim
        trainer.run_training()
    checkpoint = torch.load(output / FINAL, map_location="cpu", weights_only=False)
    curves = {name: [float(value) for value in checkpoint["logging"][key]] for name, key in CURVES.items()}
    record = {
        "fold": fold,
        "epochs": list(range(len(curves["train_loss"]))),
        **curves,
        "training_cases": list(case_split[0]),
        "validation_cases": list(case_split[1]),
        "input_channels": IMAGE_CHANNELS + 1,
        "options": asdict(options),
        "key": key,
    }
    return output / FINAL, record


def _forget_others(workspace: Path, key: str) -> None:
    """Drop checkpoints of earlier settings: they can never be resumed again."""
    for other in workspace.glob("*/"):
        if other.name != key:
            shutil.rmtree(other, ignore_errors=True)


def publish(checkpoint: Path, target: str | Path) -> None:
    """Put the final checkpoint where users find it: a hard link where the file system can, else a copy."""
    with replacing(target) as temporary:
        try:
            os.link(checkpoint, temporary)
        except OSError:
            shutil.copyfile(checkpoint, temporary)
