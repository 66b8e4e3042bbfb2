"""The nnU-Net trainer of the lesion models: two heads, clicks, the paper's settings, resumable bit for bit."""

from __future__ import annotations

import hashlib
import os
import random
import time

import numpy as np
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed, nn

from clickpet.files import replacing, write_json
from clickpet.train.augmentation import KeepLesions, MisalignChannel, OrganAwareSpatialTransform, all_transforms
from clickpet.train.options import TrainingOptions
from clickpet.train.ownership import Claim
from clickpet.train.pretrained import start_from

LESION_CHANNELS = 2
#: Channels of the network's input before the clicks: CT and PET.
IMAGE_CHANNELS = 2


class TimeBudgetReachedError(RuntimeError):
    """The training stopped at a checkpoint because its time was up; run it again to go on."""


class LesionAndOrganLoss(nn.Module):
    """Dice + cross-entropy of the lesion head plus the same of the organ head, Dice without smoothing.

    net_output : (batch, 2 + organ classes, z, y, x) logits, or (batch, 2, z, y, x) when the organ head is off;
    target : (batch, 2, z, y, x) with lesion (0, 1) and organ (0, 2, 3, ...) labels, or (batch, 1, ...).
    """

    def __init__(self, *, batch_dice: bool, ddp: bool, organ_weight: float):
        super().__init__()
        self.lesion = _dice_and_cross_entropy(batch_dice, ddp)
        self.organ = _dice_and_cross_entropy(batch_dice, ddp)
        self.organ_weight = organ_weight

    def forward(self, net_output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = self.lesion(net_output[:, :LESION_CHANNELS], target[:, :1])
        if net_output.shape[1] > LESION_CHANNELS:
            # label 1 is never an organ (nnU-Net samples lesion patches by value), so organ n is class n - 1
            organs = (target[:, 1:2] - 1).clamp(min=0)
            loss = loss + self.organ_weight * self.organ(net_output[:, LESION_CHANNELS:], organs)
        return loss


def _dice_and_cross_entropy(batch_dice: bool, ddp: bool) -> DC_and_CE_loss:
    dice = {"batch_dice": batch_dice, "smooth": 0, "do_bg": False, "ddp": ddp}
    return DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)


class ClickPetTrainer(nnUNetTrainer):
    """nnU-Net trainer with a lesion and an organ head.

    The options stand in the plans' configuration under "clickpet" (see `TrainingOptions`), so that a
    checkpoint carries them. `case_split`, `pretrained_checkpoint`, `deadline_s` (time at which to stop at a
    checkpoint), `progress_file` (how far the training is, as JSON after each epoch) and `claim` (on the folder of
    checkpoints) are set by `clickpet.train.lesion_fold.train_lesion_fold` before training.
    """

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int | str,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature, to the letter)
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        if device.type == "cpu":  # nnU-Net takes a GPU for granted where there are several processes
            self.device, self.grad_scaler = device, None
        self.options = TrainingOptions(**self.configuration_manager.configuration.get("clickpet", {}))
        self.num_epochs = self.options.epochs
        self.num_iterations_per_epoch = self.options.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.options.validation_iterations
        self.initial_lr = self.options.learning_rate
        self.weight_decay = self.options.weight_decay
        self.oversample_foreground_percent = self.options.oversample_foreground
        self.save_every = self.options.save_every
        self.case_split: tuple[list[str], list[str]] | None = None
        self.pretrained_checkpoint: str | None = None
        self.deadline_s: float | None = None
        self.progress_file: str | None = None
        self.claim: Claim | None = None

    def initialize(self):
        self._seed("weights")
        super().initialize()
        if self.options.training_clicks == "random":
            self.dataset_class = RandomClicksDataset
        if self.pretrained_checkpoint:
            for line in start_from(self._plain_network(), self.pretrained_checkpoint):
                self.print_to_log_file(line)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(
            self.network.parameters(),
            self.initial_lr,
            weight_decay=self.weight_decay,
            momentum=self.options.momentum,
            nesterov=self.options.momentum > 0,
        )
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def _build_loss(self):
        loss = LesionAndOrganLoss(
            batch_dice=self.configuration_manager.batch_dice,
            ddp=self.is_ddp,
            organ_weight=self.options.organ_loss_weight,
        )
        weights = np.array([1 / 2**level for level in range(len(self._get_deep_supervision_scales()))])
        if len(weights) > 1:
            # nnU-Net leaves the coarsest output out; DDP needs every parameter to be used
            weights[-1] = 1e-6 if self.is_ddp and not self._do_i_compile() else 0
        return DeepSupervisionWrapper(loss, weights / weights.sum())

    def get_training_transforms(self, *args, **kwargs):
        stock = super().get_training_transforms(*args, **kwargs)
        transforms = [
            OrganAwareSpatialTransform.like(part) if isinstance(part, SpatialTransform) else part
            for part in stock.transforms
        ]
        if self.options.misalignment is not None:
            transforms.insert(0, MisalignChannel(**self.options.misalignment))
        composed = ComposeTransforms(transforms)
        for part in all_transforms(composed):
            if isinstance(part, GaussianBlurTransform) and self.device.type == "cpu":
                # it times two implementations and keeps the faster: other bits from run to run
                part.benchmark = False
        return composed

    def get_validation_transforms(self, *args, **kwargs):
        return ComposeTransforms([KeepLesions(), *super().get_validation_transforms(*args, **kwargs).transforms])

    def do_split(self):
        if self.case_split is None:
            return super().do_split()
        training, validation = self.case_split
        return list(training), list(validation)

    def on_epoch_start(self):
        self._seed("epoch", self.current_epoch)
        super().on_epoch_start()

    def on_epoch_end(self):
        if self.claim is not None and self.local_rank == 0:
            self.claim.check()
        super().on_epoch_end()
        if self.progress_file is not None and self.local_rank == 0:
            begun_s, ended_s = (self.logger.get_value(f"epoch_{when}_timestamps", step=-1) for when in ("start", "end"))
            progress = {"epoch": self.current_epoch, "epochs": self.num_epochs, "seconds_per_epoch": ended_s - begun_s}
            write_json(self.progress_file, progress)
        if self.deadline_s is not None and self.current_epoch < self.num_epochs and self._time_is_up():
            self.current_epoch -= 1
            self.save_checkpoint(os.path.join(self.output_folder, "checkpoint_latest.pth"))
            raise TimeBudgetReachedError(f"stopped after epoch {self.current_epoch + 1} of {self.num_epochs}")

    def _time_is_up(self) -> bool:
        """The first process looks at the clock for all: if some went on they would wait for the others."""
        answer = [time.time() >= self.deadline_s]
        if self.is_ddp:
            distributed.broadcast_object_list(answer)
        return answer[0]

    def save_checkpoint(self, filename: str) -> None:
        """Write the checkpoint whole or not at all (nnU-Net writes in place)."""
        if self.local_rank == 0 and not self.disable_checkpointing:
            with replacing(filename) as temporary:
                super().save_checkpoint(str(temporary))

    def plot_network_architecture(self):
        """Nothing: nnU-Net's plot needs a package that no longer works."""

    def _save_debug_information(self):
        """Nothing: nnU-Net writes the host's name into it."""

    def _plain_network(self) -> nn.Module:
        network = self.network.module if self.is_ddp else self.network
        return getattr(network, "_orig_mod", network)

    def _seed(self, *what: object) -> None:
        """Seed Python, NumPy and torch from the run's seed, the fold, this worker and `what`."""
        key = repr([self.options.seed, str(self.fold), self.local_rank, *what])
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "little")
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)


def prepare_rank(rank: int, device: str) -> str:
    """Get a process ready to train as one of several; returns the backend for their exchange."""
    if device == "cpu":  # nnU-Net names the GPU of each process, and a CPU must not be named
        nnunet.DDP = lambda network, device_ids: nn.parallel.DistributedDataParallel(network)
        return "gloo"
    torch.cuda.set_device(rank)
    return "nccl"


class RandomClicksDataset(nnUNetDatasetBlosc2):
    """Preprocessed cases whose click channel shows 0 to all of the clicks, drawn anew for every patch.

    The stored data hold CT, PET and then one heatmap for each number of clicks 1..n
    (`clickpet.train.preprocessing`); what the loader sees is CT, PET and one heatmap.
    """

    def load_case(self, identifier):
        data, segmentation, previous, properties = super().load_case(identifier)
        clicks = np.random.randint(0, data.shape[0] - IMAGE_CHANNELS + 1)
        return _FirstClicks(data, clicks), segmentation, previous, properties


class _FirstClicks:
    """View of stored data (2 + n, z, y, x) as (3, z, y, x) with the heatmap of the first `clicks` clicks."""

    def __init__(self, data, clicks: int):
        self._data = data
        self._clicks = clicks
        self.shape = (IMAGE_CHANNELS + 1, *data.shape[1:])
        self.ndim = data.ndim
        self.dtype = data.dtype

    def __getitem__(self, key) -> np.ndarray:
        channels, *box = key if isinstance(key, tuple) else (key,)
        if channels != slice(None) and channels != slice(0, self.shape[0]):
            raise IndexError("only whole stacks of channels can be cut out")
        images = self._data[(slice(0, IMAGE_CHANNELS), *box)]
        if self._clicks == 0:
            return np.concatenate((images, np.zeros_like(images[:1])))
        channel = IMAGE_CHANNELS + self._clicks - 1
        return np.concatenate((images, self._data[(slice(channel, channel + 1), *box)]))
