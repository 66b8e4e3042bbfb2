"""Training: what the CPUs do for a step.

Batches of two patches of 192 x 192 x 192 voxels (CT, PET, clicks; lesions and 14 organs) from a preprocessed study of
326 x 400 x 400 voxels, augmented as in the paper's training. The reference is nnU-Net's own way with our transforms in
it: workers read a patch large enough for any rotation and augment it. Ours: workers read what the drawn move needs, and
the training's device augments. Seconds are CPU seconds of one core, counted in this process, a batch; what the device
does is in a row of its own (here it is this CPU; no GPU was there to measure). Handing a batch from a worker to the
training, a copy of it, is on neither side.

Clicks drawn when a patch is read: the same study with ten stored heatmaps and with its clicks, seconds of reading a
patch. Training on errors: CPU seconds of a step of a small untrained network, whose errors fill the patch, against a
step with random clicks; share and rounds as by default.
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
    yield drawing_row()
    yield errors_row()


def drawing_row() -> dict:
    """Reading patches of 128 x 128 x 128 with a heatmap that is stored, one of ten, or drawn."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    from clickpet.clicks.heatmap import heatmap_steps
    from clickpet.clicks.heatmap_options import HeatmapOptions
    from clickpet.clicks.model import Clicks
    from clickpet.train.preprocessing import save_preprocessed
    from clickpet.train.random_clicks import RandomClicksDataset
    from clickpet.train.stored_clicks import RECORD, StoredClicks

    shape, patch = (200, 200, 200), (128, 128, 128)
    rng = np.random.default_rng(0)
    scan = rng.standard_normal((3, *shape), np.float32)
    scan[2] = np.abs(scan[2]) * 4
    clicks = Clicks(rng.integers(40, 160, (10, 3)), rng.integers(40, 160, (10, 3)))
    heatmaps = np.stack([heatmap for _, heatmap in heatmap_steps(scan[2], clicks, range(1, 11))])
    record = StoredClicks(clicks, HeatmapOptions(), (2.0, 2.0, 2.0), shape).as_record()
    starts = rng.integers(0, 72, (20, 3))
    boxes = [tuple(slice(int(low), int(low) + 128) for low in start) for start in starts]
    with tempfile.TemporaryDirectory() as folder:
        labels = np.zeros((1, *shape), np.int16)
        for name, data, properties in (
            ("stored", np.concatenate((scan[:2], heatmaps)), {}),
            ("drawn", scan, {RECORD: record}),
        ):
            files = {"data": f"{name}.b2nd", "segmentation": f"{name}_seg.b2nd", "properties": f"{name}.pkl"}
            files = {part: Path(folder, file) for part, file in files.items()}
            save_preprocessed(files, data, labels, properties, patch_size=patch)
        plain, drawing = nnUNetDatasetBlosc2(folder, ["stored"]), RandomClicksDataset(folder, ["drawn"])
        numbers, places = iter(rng.integers(0, 10, 1000)), iter(boxes * 50)

        def stored():
            data, *_ = plain.load_case("stored")
            box, channel = next(places), 2 + int(next(numbers))
            return np.concatenate((data[(slice(0, 2), *box)], data[(slice(channel, channel + 1), *box)]))

        def drawn():
            data, *_ = drawing.load_case("drawn")
            return data[(slice(None), *next(places))]

        stored_s, _ = cpu_seconds(stored, batches=20)
        drawn_s, _ = cpu_seconds(drawn, batches=20)
    return {
        "name": "reading a patch that shows some of its clicks",
        "reference_s": stored_s,
        "ours_s": drawn_s,
        "ratio": stored_s / drawn_s,
        "note": "ours has no ten heatmaps to resample, store and copy",
    }


def errors_row() -> dict:
    """A step of training on errors against one with random clicks."""
    from clickpet.nnunet.plans import Topology, network_plans, nominal_plans
    from clickpet.train.error_clicks import ErrorClicks
    from clickpet.train.options import CorrectionOptions
    from clickpet.train.stored_clicks import StoredClicks

    patch, features = (48, 48, 48), [8, 16, 32]
    plans = network_plans(
        nominal_plans(), patch_size=patch, batch_size=2, organ_classes=15, topology=Topology(features, [1, 1, 1], 3)
    )
    network = untrained(plans)
    options = CorrectionOptions()
    drawing = StoredClicks.from_record(
        {
            "tumor": [],
            "background": [],
            "groups": [],
            "options": {},
            "spacing_mm": [2.0, 2.0, 3.0],
            "shape": list(patch),
        }
    )
    errors = ErrorClicks(options, lambda key: drawing)
    rng = np.random.default_rng(0)
    target = torch.zeros((2, 2, *patch), dtype=torch.int16)
    target[:, 0, 20:28, 20:28, 20:28] = 1
    data = torch.from_numpy(rng.standard_normal((2, 4, *patch), np.float32))
    data[:, 2] = 0

    def step(rounds=0):
        batch = {"data": data.clone(), "target": target, "keys": ["a", "a"]}
        batch = errors(batch, network, rng, rounds=rounds)
        sum(output.square().mean() for output in network(batch["data"])).backward()

    plain_s, _ = cpu_seconds(step)
    by_rounds = [cpu_seconds(lambda rounds=rounds: step(rounds))[0] for rounds in range(1, options.rounds + 1)]
    errors_s = (1 - options.share) * plain_s + options.share * float(np.mean(by_rounds))
    return {
        "name": "a step of training on errors, on average",
        "reference_s": plain_s,
        "ours_s": errors_s,
        "ratio": plain_s / errors_s,
        "goal": 1 / 1.5,
        "note": f"{errors_s / plain_s:.2f} times; {options.rounds} rounds {by_rounds[-1] / plain_s:.2f} times",
    }


def untrained(plans: dict):
    """The network of plans, with all outputs."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    planned = PlansManager(plans).get_configuration("3d_fullres")
    return get_network_from_plans(
        planned.network_arch_class_name,
        planned.network_arch_init_kwargs,
        planned.network_arch_init_kwargs_req_import,
        3,
        2,
        deep_supervision=True,
    )


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
