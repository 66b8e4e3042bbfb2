"""Training one fold of a lesion model, so that it survives whatever kills it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

from clickpet.errors import InputError
from clickpet.files import replacing, write_text
from clickpet.train.ownership import Claim

FINAL, LATEST = "checkpoint_final.pth", "checkpoint_latest.pth"
#: What nnU-Net's predictor and ours read of a checkpoint.
PUBLISHED = ("network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes")
#: File of a workspace that names the key of the newest training.
CURRENT = "current"
#: Options that do not change what is learned.
_WITHOUT_EFFECT = ("save_every",)
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


def data_digests(preprocessed: str | Path, case_split: tuple[list[str], list[str]]) -> dict[str, str]:
    """Digests of the data of all cases of a training, from their properties in the folder `preprocessed`."""
    return {case: data_digest(Path(preprocessed, f"{case}.pkl")) for case in {*case_split[0], *case_split[1]}}


def training_key(
    plans: dict,
    dataset: dict,
    options,
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
    processes: int = 1,
    workers: int = 0,
    method: str = "",
) -> tuple[Path, dict]:
    """Train (or go on training) one fold; returns the final checkpoint's path and the curves.

    plans, dataset : of `clickpet.nnunet.plans`;  options : TrainingOptions;  case_split : training and validation
    cases;  preprocessed : folder of the preprocessed cases;  fingerprint : dataset_fingerprint.json;  workspace :
    folder for checkpoints, kept outside the workflow's outputs and keyed by `training_key`, so that a run that was
    killed goes on from its last checkpoint and one with other settings starts anew;  budget_s : seconds after
    which to stop at a checkpoint;  processes : that share every batch, each on a GPU of its own (nnU-Net's DDP);
    a training may go on with another number of them;  workers : processes for augmentation in all (0: in the
    training process, bit-reproducible);  method : hash of the code that trains, part of the key.

    Raises InputError if there are more processes than cases in a batch, TimeBudgetReachedError when the budget is
    used up, TakenOverError when another process has begun the same training since.
    """
    import torch

    from clickpet.digests import weights_digest
    from clickpet.train.trainer import IMAGE_CHANNELS, TimeBudgetReachedError

    begun_s = time.time()
    batch_size = plans["configurations"]["3d_fullres"]["batch_size"]
    if processes > batch_size:
        raise InputError(
            f"{processes} GPUs cannot share batches of {batch_size}",
            mend="lower `gpu` of train_lesion_fold under set-resources, or raise train.batch_size",
        )
    preprocessed, workspace = Path(preprocessed), Path(workspace)
    digests = data_digests(preprocessed, case_split)
    key = training_key(plans, dataset, options, case_split, digests, method=method, pretrained=pretrained)
    folder = workspace / key
    folder.mkdir(parents=True, exist_ok=True)
    write_text(workspace / CURRENT, key)
    plans = deepcopy(plans)
    plans["configurations"]["3d_fullres"]["clickpet"] = asdict(options)
    claim = Claim(folder)
    shutil.copyfile(fingerprint, folder / "dataset_fingerprint.json")
    for half in folder.rglob(".*.pth"):  # of a killed process, which was writing a checkpoint
        half.unlink(missing_ok=True)
    if not _finished(folder):
        training = _Training(
            plans=plans,
            dataset=dataset,
            fold=fold,
            case_split=case_split,
            preprocessed=str(preprocessed),
            folder=str(folder),
            progress_file=str(workspace / "progress.json"),
            pretrained=pretrained,
            deadline_s=None if budget_s is None else begun_s + budget_s,
            device=device,
            workers=max(workers // processes, 1) if workers else 0,
            claim=claim,
        )
        if processes == 1:
            _train(training)
        else:
            _train_together(training, processes)
    final = _finished(folder)
    if final is None:
        raise TimeBudgetReachedError("stopped at a checkpoint, because its time was used up")
    checkpoint = torch.load(final, map_location="cpu", weights_only=False)
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
        "weights": weights_digest(checkpoint["network_weights"]),
    }
    return final, record


@dataclass(frozen=True)
class _Training:
    """What a process must know to train; arguments of `train_lesion_fold`, and `folder`: workspace / key."""

    plans: dict
    dataset: dict
    fold: str
    case_split: tuple[list[str], list[str]]
    preprocessed: str
    folder: str
    progress_file: str
    pretrained: str | None
    deadline_s: float | None
    device: str
    workers: int
    claim: Claim


def _finished(folder: Path) -> Path | None:
    """The final checkpoint in a folder, if the training has come to its end."""
    return next(folder.rglob(FINAL), None)


def _train(training: _Training) -> None:
    """Train to the end, in one process or as one of several."""
    import torch

    from clickpet.train.trainer import ClickPetTrainer

    os.environ["nnUNet_n_proc_DA"] = str(training.workers)
    os.environ["nnUNet_results"] = training.folder
    os.environ.pop("nnUNet_preprocessed", None)
    if training.device == "cpu":
        torch.use_deterministic_algorithms(True)
    plans = {**training.plans, "continue_training": False}
    fold = training.fold if training.fold == "all" else int(training.fold)
    trainer = ClickPetTrainer(plans, "3d_fullres", fold, training.dataset, torch.device(training.device))
    trainer.preprocessed_dataset_folder_base = training.folder
    trainer.preprocessed_dataset_folder = training.preprocessed
    trainer.case_split = training.case_split
    trainer.pretrained_checkpoint = training.pretrained
    trainer.deadline_s = training.deadline_s
    trainer.progress_file = training.progress_file
    trainer.claim = training.claim
    trainer.initialize()
    latest = Path(trainer.output_folder, LATEST)
    if latest.is_file():
        trainer.load_checkpoint(str(latest))
        trainer.print_to_log_file(f"going on after epoch {trainer.current_epoch} of {trainer.num_epochs}")
    trainer.run_training()


def _train_together(training: _Training, processes: int) -> None:
    """Train in several processes; if one fails all end, and its error is raised here."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_train_as, (training, processes, f"{folder}/meet"), nprocs=processes)


def _train_as(rank: int, training: _Training, processes: int, meeting_point: str) -> None:
    """One of several processes; returns without a final checkpoint when the time is used up."""
    from torch import distributed

    from clickpet.train.trainer import TimeBudgetReachedError, prepare_rank

    backend = prepare_rank(rank, training.device)
    distributed.init_process_group(backend, init_method=f"file://{meeting_point}", rank=rank, world_size=processes)
    try:
        _train(training)
    except TimeBudgetReachedError as stopped:
        print(stopped)
    finally:
        distributed.destroy_process_group()


def publish(checkpoint: str | Path, target: str | Path) -> None:
    """Write what prediction and export need of a final checkpoint (PUBLISHED) to `target`.

    Without the optimiser's state it is half as large. Equal trainings give equal bytes.
    """
    import torch

    full = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    with replacing(target) as temporary, open(temporary, "wb") as file:
        torch.save({name: full[name] for name in PUBLISHED}, file)
