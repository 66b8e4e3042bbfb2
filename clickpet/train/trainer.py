"""The nnU-Net trainer of the lesion models: two heads, clicks, the paper's settings, reproducible."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from clickpet.train.augmentation import (
    KeepLesions,
    MisalignChannel,
    OrganAwareSpatialTransform,
    all_transforms,
    sparing_clicks,
)
from clickpet.train.compilation import compile_obstacle
from clickpet.train.device_augmentation import DeviceAugmentation
from clickpet.train.error_clicks import ErrorClicks
from clickpet.train.loading import CroppingLoader, SeededLoader, seed_generators, seed_of
from clickpet.train.loss import LesionAndOrganLoss
from clickpet.train.options import CorrectionOptions, TrainingOptions
from clickpet.train.pretrained import start_from
from clickpet.train.random_clicks import RandomClicksDataset

#: Batches that are read ahead for the training and for its validation, in all workers together.
READ_AHEAD = {"training": 6, "validation": 3}


class ClickPetTrainer(nnUNetTrainer):
    """nnU-Net trainer with a lesion and an organ head.

    The options stand in the plans' configuration under "clickpet" (see `TrainingOptions`), so that a checkpoint
    carries them. To be set before `initialize`: `case_split` (training and validation cases), `pretrained_checkpoint`,
    `workers` (processes that read patches; 0: the training's own) and `augment_on_device` (patches are augmented by
    the device, not by the workers; True on GPUs).
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
        self.workers = 0
        self.augment_on_device = self.device.type != "cpu"
        self.augmentation: DeviceAugmentation | None = None
        self.error_clicks: ErrorClicks | None = None
        self._compiles: bool | None = None

    def initialize(self):
        self._seed("weights")
        if self.device.type == "cuda":  # nnU-Net's command line does; the fastest convolutions for this patch
            torch.backends.cudnn.benchmark = True
        super().initialize()
        if self.options.training_clicks != "all":
            self.dataset_class = RandomClicksDataset
        if self.pretrained_checkpoint:
            log = start_from(
                self.plain_network,
                self.pretrained_checkpoint,
                stem=self.options.pretrained_stem,
                lesion_head=self.options.pretrained_head,
            )
            for line in log:
                self.print_to_log_file(line)

    def _do_i_compile(self) -> bool:
        """Whether network and Dice are compiled: where nnU-Net would, and the machine can."""
        if self._compiles is None:
            obstacle = compile_obstacle() if super()._do_i_compile() else None
            if obstacle:
                self.print_to_log_file(f"warning: training without torch.compile, which is slower: {obstacle}")
            self._compiles = super()._do_i_compile() and not obstacle
        return self._compiles

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
            lesion_free_weight=self.options.lesion_free_loss_weight,
            compiled=self._do_i_compile(),
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
        if self.options.training_clicks == "errors":
            transforms = sparing_clicks(transforms)
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

    def get_tr_and_val_datasets(self):
        training, validation = super().get_tr_and_val_datasets()
        for dataset in (training, validation) if self.options.previous_mask else ():
            dataset.with_mask = True
        if self.options.training_clicks == "errors":
            corrections = CorrectionOptions(**self.options.corrections or {})
            training.with_suv, training.without_clicks = True, corrections.without_clicks
            axial = list(self.plans_manager.transpose_forward).index(0)
            self.error_clicks = ErrorClicks(corrections, training.clicks_of, slice_axis=axial)
        return training, validation

    def get_dataloaders(self):
        """nnU-Net's loaders; with workers each batch has its own seed, and with a device only its box is read."""
        turn, flat, initial, mirror_axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        on_device = self.augment_on_device and not flat  # very flat patches turn in their plane only, on the CPU
        if not on_device and not self.workers:
            return super().get_dataloaders()
        planned, scales = self.configuration_manager, self._get_deep_supervision_scales()
        labels = {"is_cascaded": self.is_cascaded, "foreground_labels": self.label_manager.foreground_labels}
        transforms = self.get_training_transforms(
            planned.patch_size, turn, scales, mirror_axes, flat, use_mask_for_norm=planned.use_mask_for_norm, **labels
        )
        training, validation = self.get_tr_and_val_datasets()
        common = {"oversample_foreground_percent": self.oversample_foreground_percent}
        patch = planned.patch_size
        if on_device:
            self.augmentation = DeviceAugmentation(transforms.transforms, self.device)
            moving = {kind: next((one for one in transforms.transforms if isinstance(one, kind)), None)
                      for kind in (SpatialTransform, MisalignChannel)}  # fmt: skip
            train_loader = CroppingLoader(
                training, self.batch_size, initial, patch, self.label_manager, **common,
                seed=self._worker_seed("training"), spatial=moving[SpatialTransform], misalign=moving[MisalignChannel],
            )  # fmt: skip
        else:
            train_loader = SeededLoader(
                training, self.batch_size, initial, patch, self.label_manager, **common,
                seed=self._worker_seed("training"), transforms=transforms,
            )  # fmt: skip
        validation_loader = SeededLoader(
            validation, self.batch_size, patch, patch, self.label_manager, **common,
            seed=self._worker_seed("validation"), transforms=self.get_validation_transforms(scales, **labels),
        )  # fmt: skip
        return self._reading(train_loader, "training", self.workers), self._reading(
            validation_loader, "validation", (self.workers + 1) // 2
        )

    def _reading(self, loader: SeededLoader, purpose: str, workers: int):
        """Batches of a loader, from so many processes; the first is waited for here, as nnU-Net does."""
        if workers:
            batches = NonDetMultiThreadedAugmenter(
                loader,
                None,
                num_processes=workers,
                num_cached=READ_AHEAD[purpose],
                pin_memory=self.device.type == "cuda",
                wait_time=0.002,
            )
        else:
            batches = SingleThreadedAugmenter(loader, None)
        next(batches)
        return batches

    def _worker_seed(self, purpose: str):
        """Seeds of the batches that workers read from now on: none comes twice, even if the training is resumed."""
        return partial(seed_generators, *self._seed_key("reading", purpose, self.current_epoch))

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self._steps = 0

    def train_step(self, batch: dict) -> dict:
        if self.augmentation is not None:
            batch = self.augmentation(batch)
        if self.error_clicks is not None:
            self._steps += 1
            step = ("corrections", self.current_epoch, self._steps)
            # one decision for all processes, which wait for each other
            rounds = self.error_clicks.rounds(_generator(self.options.seed, str(self.fold), *step))
            rng = _generator(*self._seed_key(*step))
            batch = self.error_clicks(self._on_device(batch), self.plain_network, rng, rounds=rounds)
        return super().train_step(batch)

    def _on_device(self, batch: dict) -> dict:
        several = isinstance(batch["target"], list)
        target = [one.to(self.device, non_blocking=True) for one in (batch["target"] if several else [batch["target"]])]
        data = batch["data"].to(self.device, non_blocking=True)
        return {**batch, "data": data, "target": target if several else target[0]}

    def on_epoch_start(self):
        self._seed("epoch", self.current_epoch)
        super().on_epoch_start()

    def plot_network_architecture(self):
        """Nothing: nnU-Net's plot needs a package that no longer works."""

    def _save_debug_information(self):
        """Nothing: nnU-Net writes the host's name into it."""

    @property
    def plain_network(self) -> nn.Module:
        """The network without the wrappers of torch.compile and of several processes."""
        network = self.network.module if self.is_ddp else self.network
        return getattr(network, "_orig_mod", network)

    def _seed(self, *what: object) -> None:
        """Seed Python, NumPy and torch from the run's seed, the fold, this process's rank and `what`."""
        seed_generators(*self._seed_key(*what))

    def _seed_key(self, *what: object) -> tuple:
        return (self.options.seed, str(self.fold), self.local_rank, *what)


def _generator(*what: object) -> np.random.Generator:
    """Random numbers of their own, by `what`: no other's, and the same after a resumption."""
    return np.random.default_rng(seed_of(*what, "generator"))
