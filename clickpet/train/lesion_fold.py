"""Training one fold of a lesion model, so that it survives whatever kills it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

from clickpet.devices import describe_gpu, try_gpu
from clickpet.errors import InputError
from clickpet.files import replacing, write_text
from clickpet.nnunet.plans import CONFIGURATION
from clickpet.train.checkpoints import FINAL, LATEST, PREVIOUS, read_newest
from clickpet.train.child_processes import end_with
from clickpet.train.key import CURRENT, data_digests, training_key
from clickpet.train.ownership import OwnershipToken

#: Said of every training that starts from given weights, in its log and its record.
NOT_OUT_OF_FOLD = (
    "if the pretrained weights saw autoPET data, cross-validated scores of this model are not out-of-fold: "
    "the patients held out here may have been seen there"
)
#: What nnU-Net's predictor and ours read of a checkpoint.
PUBLISHED = ("network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes")
#: Curves of a training, by their names in nnU-Net's log.
CURVES = {
    "train_loss": "train_losses",
    "val_loss": "val_losses",
    "pseudo_dice": "mean_fg_dice",
    "pseudo_dice_smoothed": "ema_fg_dice",
    "learning_rate": "lrs",
}


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
    augment_on_device: bool | None = None,
    method: str = "",
) -> tuple[Path, dict]:
    """Train (or go on training) one fold; returns the final checkpoint's path and the curves.

    plans, dataset : of `clickpet.nnunet.plans`;  options : TrainingOptions;  case_split : training and validation
    cases;  preprocessed : folder of the preprocessed cases;  fingerprint : dataset_fingerprint.json;  workspace :
    folder for checkpoints, kept outside the workflow's outputs and keyed by `training_key`, so that a run that was
    killed goes on from its last checkpoint and one with other settings starts anew;  budget_s : seconds after
    which to stop at a checkpoint;  processes : that share every batch, each on a GPU of its own (nnU-Net's DDP);
    a training may go on with another number of them;  workers : processes that read patches, in all (0: the
    training process, bit-reproducible);  augment_on_device : patches are augmented by the device and not by the
    workers (None: on GPUs);  method : hash of the code that trains, part of the key.

    Raises InputError if there are more processes than cases in a batch, TimeBudgetReachedError when the budget is
    used up, TakenOverError when another process has begun the same training since.
    """
    from clickpet.digests import weights_digest
    from clickpet.train.random_clicks import IMAGE_CHANNELS
    from clickpet.train.resumable import OWN_CURVES, TimeBudgetReachedError

    begun_s = time.time()
    batch_size = plans["configurations"][CONFIGURATION]["batch_size"]
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
    plans["configurations"][CONFIGURATION]["clickpet"] = asdict(options)
    owner = OwnershipToken(folder)
    shutil.copyfile(fingerprint, folder / "dataset_fingerprint.json")
    for half in folder.rglob(".*.pth"):  # of a killed process, which was writing a checkpoint
        half.unlink(missing_ok=True)
    finished = _finished(folder)
    if pretrained is not None:
        print(f"warning: {NOT_OUT_OF_FOLD}", flush=True)
    if finished is None:
        training = TrainingJob(
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
            owner=owner,
            augment_on_device=device != "cpu" if augment_on_device is None else augment_on_device,
        )
        if processes == 1:
            _train(training)
        else:
            _train_together(training, processes)
        finished = _finished(folder)
    if finished is None:
        raise TimeBudgetReachedError("stopped at a checkpoint, because its time was used up")
    final, checkpoint = finished
    logged = checkpoint["logging"]
    curves = {name: [float(value) for value in logged[key]] for name, key in CURVES.items()}
    waited, memory = (logged.get(name, []) for name in OWN_CURVES)
    record = {
        "fold": fold,
        "epochs": list(range(len(curves["train_loss"]))),
        **curves,
        "training_cases": list(case_split[0]),
        "validation_cases": list(case_split[1]),
        "input_channels": IMAGE_CHANNELS + 1 + options.previous_mask,
        "options": asdict(options),
        "key": key,
        "weights": weights_digest(checkpoint["network_weights"]),
        "pretrained": None if pretrained is None else {"file": str(pretrained), "warning": NOT_OUT_OF_FOLD},
        "resources": {"data_wait_s": waited, "peak_gpu_memory_mb": max(memory, default=0) or None},
    }
    return final, record


@dataclass(frozen=True)
class TrainingJob:
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
    owner: OwnershipToken | None
    augment_on_device: bool


def _finished(folder: Path) -> tuple[Path, dict] | None:
    """The final checkpoint in a folder and what it holds, if the training has come to its end."""
    final = next(folder.rglob(FINAL), None)
    return None if final is None else read_newest(final.parent, FINAL)


def _train(training: TrainingJob) -> None:
    """Train to the end, in one process or as one of several."""
    trainer = make_trainer(training)
    trainer.initialize()
    trainer.resume()
    trainer.run_training()


def make_trainer(training: TrainingJob):
    """The trainer of a job, before `initialize`; sets nnU-Net's environment variables."""
    import torch

    from clickpet.train.resumable import ResumableTrainer

    os.environ["nnUNet_n_proc_DA"] = str(training.workers)
    os.environ["nnUNet_results"] = training.folder
    os.environ.pop("nnUNet_preprocessed", None)
    if training.device == "cpu":
        torch.use_deterministic_algorithms(True)
    plans = {**training.plans, "continue_training": False}
    fold = training.fold if training.fold == "all" else int(training.fold)
    trainer = ResumableTrainer(plans, CONFIGURATION, fold, training.dataset, torch.device(training.device))
    trainer.preprocessed_dataset_folder_base = training.folder
    trainer.preprocessed_dataset_folder = training.preprocessed
    trainer.case_split = training.case_split
    trainer.pretrained_checkpoint = training.pretrained
    trainer.deadline_s = training.deadline_s
    trainer.progress_file = training.progress_file
    trainer.owner = training.owner
    trainer.workers = training.workers
    trainer.augment_on_device = training.augment_on_device
    return trainer


def _train_together(training: TrainingJob, processes: int) -> None:
    """Train in several processes; if one fails all end, and its error is raised here."""
    import torch

    for place in {path.parent for path in Path(training.folder).rglob("checkpoint_*.pth")}:
        read_newest(place, LATEST, PREVIOUS)  # sets broken ones aside, before several processes look at them
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_train_as, (training, processes, f"{folder}/meet", os.getpid()), nprocs=processes)


def _train_as(rank: int, training: TrainingJob, processes: int, meeting_point: str, parent: int) -> None:
    """One of several processes; returns without a final checkpoint when the time is used up."""
    from torch import distributed

    from clickpet.train.resumable import TimeBudgetReachedError

    end_with(parent)
    backend = _prepare_rank(rank, training.device)
    distributed.init_process_group(backend, init_method=f"file://{meeting_point}", rank=rank, world_size=processes)
    try:
        _train(training)
    except TimeBudgetReachedError as stopped:
        print(stopped)
    finally:
        distributed.destroy_process_group()


def _prepare_rank(rank: int, device: str) -> str:
    """Get a process ready to train as one of several; returns the backend for their exchange."""
    import torch
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet
    from torch import nn

    if device == "cpu":  # nnU-Net names the GPU of each process, and a CPU must not be named
        nnunet.DDP = lambda network, device_ids: nn.parallel.DistributedDataParallel(network)
        return "gloo"
    torch.cuda.set_device(rank)
    print(describe_gpu(rank), flush=True)
    try_gpu(torch.device("cuda", rank))
    return "nccl"


def publish(checkpoint: str | Path, target: str | Path) -> None:
    """Write what prediction and export need of a final checkpoint (PUBLISHED) to `target`.

    Without the optimiser's state it is half as large. Equal trainings give equal bytes.
    """
    import torch

    full = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    with replacing(target) as temporary, open(temporary, "wb") as file:
        torch.save({name: full[name] for name in PUBLISHED}, file)
