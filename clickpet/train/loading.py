"""Reading of training patches in worker processes: seeded, and never outliving the training."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from clickpet.train.augmentation import MisalignChannel
from clickpet.train.child_processes import end_with
from clickpet.train.device_augmentation import OUTSIDE
from clickpet.train.moves import draw_move


def seed_of(*what: object) -> int:
    """A seed, below 2 ** 56, from all of `what` (numbers and strings)."""
    return int.from_bytes(hashlib.sha256(repr(list(what)).encode()).digest()[:7], "little")


def seed_generators(*what: object) -> None:
    """Seed Python, NumPy and torch from all of `what` (numbers and strings)."""
    seed = seed_of(*what)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class SeededLoader(nnUNetDataLoader):
    """nnU-Net's loader, each of whose batches in a worker process has a seed of its own.

    seed : called in worker processes with the worker's number and that of its batch, before it is drawn. In the
    training's own process nothing is seeded here.
    """

    def __init__(self, *args, seed: Callable[[int, int], None], **kwargs):
        super().__init__(*args, **kwargs)
        self._seed = seed
        self._main = os.getpid()
        self._batches = 0

    def __next__(self):
        if os.getpid() != self._main:
            if self._batches == 0:
                end_with(self._main)
            self._seed(self.thread_id, self._batches)
        self._batches += 1
        return super().__next__()


class CroppingLoader(SeededLoader):
    """Reads of each patch what its move needs, and leaves the rest to `DeviceAugmentation`.

    spatial, misalign : the transforms that draw the moves; the others as for nnU-Net's loader. Batches hold lists:
    "data" (float32, channels and box), "target" (int16), "moves" (`clickpet.train.moves.Move`) and "keys".
    """

    def __init__(self, *args, spatial: SpatialTransform, misalign: MisalignChannel | None, **kwargs):
        super().__init__(*args, **kwargs)
        self._spatial = spatial
        self._misalign = misalign

    def generate_train_batch(self) -> dict:
        keys = self.get_indices()
        samples = [self._sample(key, self.get_do_oversample(place)) for place, key in enumerate(keys)]
        data, target, moves = (list(part) for part in zip(*samples, strict=True))
        return {"data": data, "target": target, "moves": moves, "keys": keys}

    def _sample(self, key: str, lesion_wanted: bool):
        data, segmentation, _, properties = self._data.load_case(key)
        starts, _ = self.get_bbox(data.shape[1:], lesion_wanted, properties["class_locations"])
        initial = tuple(int(length) for length in self.patch_size)
        move = draw_move(self._spatial, self._misalign, initial=initial, patch=self.final_patch_size)
        box = [[start + axis.start, start + axis.stop] for start, axis in zip(starts, move.box(), strict=True)]
        image = crop_and_pad_nd(data, box, 0)
        labels = crop_and_pad_nd(segmentation, box, OUTSIDE, cast_cropped_to=np.int16)
        return torch.from_numpy(image).float(), torch.from_numpy(labels).to(torch.int16), move
