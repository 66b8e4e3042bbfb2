"""Training: what the CPUs do for a step.

Batches of two patches of 192 x 192 x 192 voxels (CT, PET, clicks; lesions and 14 organs) from a preprocessed study of
326 x 400 x 400 voxels, augmented as in the paper's training. The reference is nnU-Net's own way with our transforms in
it: workers read a patch large enough for any rotation and augment it. Ours: workers read what the drawn move needs, and
the training's device augments. Seconds are CPU seconds of one core, counted in this process, a batch; what the device
does is in a row of its own (here it is this CPU; no GPU was there to measure). Handing a batch from a worker to the
training, a copy of it, is on neither side.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

PATCH = (192, 192, 192)
SHAPE = (326, 400, 400)
BATCHES = 12
#: What `train.misalignment` has by default.
MISALIGNMENT = {"rotation_deg": 5, "p_rotation": 0.1, "shift_vox": (0, 2, 2), "p_shift": 0.1}


def rows() -> Iterator[dict]:
    with tempfile.TemporaryDirectory() as folder:
        store_study(Path(folder))
        stock, ours, augment = loaders(folder)
        stock_s, _ = cpu_seconds(lambda: next(stock))
        ours_s, batches = cpu_seconds(lambda: next(ours))
        device_s, _ = cpu_seconds(lambda: augment(batches[-1]), batches=2)
    voxels = np.mean([image[0].numel() for batch in batches for image in batch["data"]]) / np.prod(PATCH)
    yield {
        "name": "reading and augmenting a batch (CPU seconds of the workers)",
        "reference_s": stock_s,
        "ours_s": ours_s,
        "ratio": stock_s / ours_s,
        "goal": 5,
        "note": f"mean of {BATCHES} batches; ours reads {voxels:.1f} times a patch's voxels on average",
    }
    yield {"name": "what is left to the device, done on this CPU", "ours_s": device_s, "note": "one batch of those"}


def cpu_seconds(call: Callable[[], object], *, batches: int = BATCHES) -> tuple[float, list]:
    """Mean CPU seconds (all threads of this process) of so many calls, and their last results."""
    torch.set_num_threads(1)
    np.random.seed(0)
    torch.manual_seed(0)
    begun, results = time.process_time(), []
    for _ in range(batches):
        results = [*results[-2:], call()]
    return (time.process_time() - begun) / batches, results


def store_study(folder: Path) -> None:
    """A study as `preprocess_case` stores it: noise in an ellipsoid of body, some lesions, organs in slabs."""
    from clickpet.train.preprocessing import save_preprocessed

    rng = np.random.default_rng(0)
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, length)) for length in SHAPE)]
    body = sum((axis / radius) ** 2 for axis, radius in zip(axes, (1.2, 0.45, 0.6), strict=True)) < 1
    data = np.zeros((3, *SHAPE), np.float32)
    for channel in data[:2]:
        channel[body] = np.round(rng.standard_normal(np.count_nonzero(body)), 3)
    labels = np.zeros((2, *SHAPE), np.int16)
    labels[1] = np.where(body, 2 + (np.arange(SHAPE[0]) * 14 // SHAPE[0])[:, None, None], 0)
    centres = np.argwhere(body)[rng.integers(0, np.count_nonzero(body), 30)]
    for centre in centres:
        box = tuple(slice(max(0, middle - 3), middle + 4) for middle in centre)
        labels[0][box], data[2][box] = 1, 0.5
    places = np.argwhere(labels[0])
    locations = {1: np.concatenate((np.zeros((len(places), 1), int), places), 1)}
    files = {"data": folder / "a.b2nd", "segmentation": folder / "a_seg.b2nd", "properties": folder / "a.pkl"}
    save_preprocessed(files, data, labels, {"class_locations": locations}, patch_size=PATCH)


def loaders(folder: str | Path):
    """nnU-Net's loader with augmentation, ours that reads only, and what augments on the device."""
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    from clickpet.train.augmentation import MisalignChannel, OrganAwareSpatialTransform
    from clickpet.train.device_augmentation import DeviceAugmentation
    from clickpet.train.loading import CroppingLoader

    turn = (-np.pi / 6, np.pi / 6)
    initial = get_patch_size(PATCH, turn, turn, turn, (0.85, 1.25))
    scales = [[1 / 2**level] * 3 for level in range(5)]
    nnunets = nnUNetTrainer.get_training_transforms(PATCH, turn, scales, (0, 1, 2), False).transforms
    misalign = MisalignChannel(**MISALIGNMENT)
    transforms = [misalign, OrganAwareSpatialTransform.like(nnunets[0]), *nnunets[1:]]
    for one in transforms:
        if isinstance(getattr(one, "transform", None), GaussianBlurTransform):
            one.transform.benchmark = False
    labels = LabelManager({"background": 0, "lesion": 1}, None)
    given = (nnUNetDatasetBlosc2(str(folder)), 2, initial, PATCH, labels)
    stock = nnUNetDataLoader(*given, oversample_foreground_percent=0.33, transforms=ComposeTransforms(transforms))
    ours = CroppingLoader(
        *given, oversample_foreground_percent=0.33, seed=lambda worker, batch: None, spatial=transforms[1],
        misalign=misalign,
    )  # fmt: skip
    return stock, ours, DeviceAugmentation(transforms, "cpu")
