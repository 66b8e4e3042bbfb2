"""The trainer with what keeps a training alive: checkpoints, time budget, ownership, progress."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import distributed

from clickpet.files import write_json
from clickpet.train.checkpoints import FINAL, LATEST, PREVIOUS, read_newest, retire_latest, write_checkpoint
from clickpet.train.ownership import OwnershipToken
from clickpet.train.trainer import ClickPetTrainer

#: Of each epoch, beside nnU-Net's own curves: seconds that steps waited for data, largest memory of a GPU in MiB (0
#: without one). The slowest and the fullest of several processes count.
OWN_CURVES = ("data_wait_s", "gpu_memory_mb")


class TimeBudgetReachedError(RuntimeError):
    """The training stopped at a checkpoint because its time was up; run it again to go on."""


class ResumableTrainer(ClickPetTrainer):
    """`ClickPetTrainer` that can be stopped and killed at any moment and goes on from its last checkpoint.

    `deadline_s` (time at which to stop at a checkpoint), `progress_file` (how far the training is, as JSON after each
    epoch) and `owner` (of the folder of checkpoints) are set before training.
    """

    # no __init__: nnU-Net reads the arguments of that of the class, by their names
    deadline_s: float | None = None
    progress_file: str | None = None
    owner: OwnershipToken | None = None

    def initialize(self):
        super().initialize()
        self._curves.update({name: [] for name in OWN_CURVES})

    @property
    def _curves(self) -> dict[str, list]:
        """What nnU-Net's logger holds: a list with an entry an epoch for each curve; part of the checkpoint."""
        return self.logger.local_logger.my_fantastic_logging

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self._waited_s, self._idle_since_s = 0.0, time.perf_counter()

    def train_step(self, batch: dict) -> dict:
        self._waited_s += time.perf_counter() - self._idle_since_s
        result = super().train_step(batch)
        self._idle_since_s = time.perf_counter()
        return result

    def on_epoch_end(self):
        if self.owner is not None and self.local_rank == 0:
            self.owner.check()
        waited_s, memory_mb = self._largest(self._waited_s, _gpu_memory_mb(self.device))
        for name, value in zip(OWN_CURVES, (waited_s, memory_mb), strict=True):
            self.logger.log(name, value, self.current_epoch)
        self.print_to_log_file(f"waited {waited_s:.1f} s for data; largest GPU memory {memory_mb:.0f} MiB")
        super().on_epoch_end()
        if self.progress_file is not None and self.local_rank == 0:
            self._write_progress(waited_s)
        if self.deadline_s is not None and self.current_epoch < self.num_epochs and self._time_is_up():
            self.current_epoch -= 1
            self.save_checkpoint(os.path.join(self.output_folder, LATEST))
            raise TimeBudgetReachedError(f"stopped after epoch {self.current_epoch + 1} of {self.num_epochs}")

    def _write_progress(self, waited_s: float) -> None:
        begun_s, ended_s = (self.logger.get_value(f"epoch_{when}_timestamps", step=-1) for when in ("start", "end"))
        seconds = ended_s - begun_s
        write_json(
            self.progress_file,
            {
                "epoch": self.current_epoch,
                "epochs": self.num_epochs,
                "seconds_per_epoch": seconds,
                "data_wait_share": waited_s / seconds,
            },
        )

    def _largest(self, *values: float) -> list[float]:
        """The largest of each of `values` over all processes."""
        if not self.is_ddp:
            return list(values)
        everyones = [None] * distributed.get_world_size()
        distributed.all_gather_object(everyones, values)
        return [max(column) for column in zip(*everyones, strict=True)]

    def _time_is_up(self) -> bool:
        """The first process looks at the clock for all: if some went on they would wait for the others."""
        answer = [time.time() >= self.deadline_s]
        if self.is_ddp:
            distributed.broadcast_object_list(answer)
        return answer[0]

    def save_checkpoint(self, filename: str) -> None:
        """Write the latest and the final checkpoint durably; nnU-Net's best one, which nothing reads, not at all."""
        if self.local_rank == 0 and not self.disable_checkpointing and Path(filename).name in (LATEST, FINAL):
            write_checkpoint(filename, super().save_checkpoint)

    def on_train_end(self):
        """Write the final checkpoint; the latest, which nnU-Net would delete then, stays as the one before."""
        if self.local_rank == 0:
            retire_latest(self.output_folder)
        super().on_train_end()

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole, if there is one."""
        found = read_newest(self.output_folder, LATEST, PREVIOUS)
        if found is None:
            return
        path, checkpoint = found
        self.current_epoch = checkpoint["current_epoch"]
        self.plain_network.load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None and checkpoint.get("grad_scaler_state") is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        for name in OWN_CURVES:
            self._curves.setdefault(name, [0.0] * self.current_epoch)
        self._best_ema = checkpoint.get("_best_ema")
        self.print_to_log_file(f"going on after epoch {self.current_epoch} of {self.num_epochs}, from {path.name}")


def _gpu_memory_mb(device: torch.device) -> float:
    return torch.cuda.max_memory_reserved() / 2**20 if device.type == "cuda" else 0.0
