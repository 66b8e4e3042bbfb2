"""Inference: everything but the network.

A PET/CT of 400 x 400 x 326 voxels on the network's grid, patch 192, tile step 0.5, one mirrored axis, five
folds of a network that is a single 1 x 1 x 1 convolution, so that what is left is the work around it:
preparing, cutting, mirroring, weighing, averaging, bringing back. The reference is nnU-Net's own
`nnUNetPredictor` on the same arrays in the same run; seconds inside the forward pass are taken off on both
sides. Rows of memory (MB beyond the inputs) and of tiles show these numbers in place of seconds.

The last row is what a job costs besides preparing and the network: start, imports, loading. Its cases are small
(one tile), its network has the paper's size (one fold, from the page cache), and the reference is a job for each case.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measure import peak_extra_bytes, skipped

from clickpet.files import read_json
from clickpet.images import write_image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

SHAPE = (400, 400, 326)
SPACING_MM = (2.036, 2.036, 3.0)
#: A body lying along z, arms up, in mm: what the field of view of 814 mm holds.
BODY_MM = (420.0, 270.0)
FOLDS = 5
AXES = (2,)
OTHER_SHAPE, OTHER_SPACING_MM = (200, 200, 120), (4.073, 4.073, 5.0)
#: The paper's network, and cases that a job predicts with it.
PAPER_FEATURES, PAPER_BLOCKS = (32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6)
CASES_A_JOB = 8
JOB = """
import sys
from pathlib import Path

from clickpet.predict.bucket import BucketCase, BucketOptions, predict_missing

folder, kept, *slugs = sys.argv[1:]
images = ("ct", "suv", "heatmap")
cases = [
    BucketCase(slug, tracer="fdg", model=Path(folder, "fdg"), members=[0],
               **{image: f"{folder}/{slug}/{image}.nii.gz" for image in images})
    for slug in slugs
]
predict_missing(cases, kept, BucketOptions({"voxel_limits": [1, 2, 3]}, None, [], "1"), device="cpu")
"""
ORGANS = Path(__file__).resolve().parents[3] / "shared" / "data" / "autopet" / "organs"


def rows():
    """Seconds, memory and tiles, with the body's box and without; then another spacing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model, networks = trivial_model(Path(folder))
        case = scan(SHAPE, SPACING_MM)
        stock = stock_run(model, networks[0], case, SPACING_MM)
        whole = our_run(model, networks, case, SPACING_MM, body_box=False)
        boxed = our_run(model, networks, case, SPACING_MM, body_box=True)
        yield row("outside the network, same tiles", stock["outside_s"], whole["outside_s"], 5, agreement(stock, whole))
        yield row("outside the network, body box", stock["outside_s"], boxed["outside_s"], 5, agreement(stock, boxed))
        yield row("peak memory, same tiles (MB)", stock["peak_mb"], whole["peak_mb"], 2, "")
        yield row("peak memory, body box (MB)", stock["peak_mb"], boxed["peak_mb"], 2, "")
        del case, stock, whole, boxed
        case = scan(OTHER_SHAPE, OTHER_SPACING_MM)
        stock = stock_run(model, networks[0], case, OTHER_SPACING_MM, folds=1)
        ours = our_run(model, networks[:1], case, OTHER_SPACING_MM, body_box=True)
        text = "x".join(map(str, OTHER_SHAPE))
        yield row(
            f"outside the network, {text} at another spacing, one fold",
            stock["outside_s"],
            ours["outside_s"],
            5,
            agreement(stock, ours),
        )
        yield row(f"peak memory, {text} at another spacing, one fold (MB)", stock["peak_mb"], ours["peak_mb"], 2, "")
    yield from tile_rows()
    yield start_row()


def start_row():
    """Seconds a case of a job for one case, and of a job for several."""
    import tempfile

    from tiny_models import write_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(
            folder / "fdg",
            patch=(64, 64, 64),
            spacing_zyx=(8.0, 8.0, 8.0),
            features=PAPER_FEATURES,
            n_blocks_per_stage=PAPER_BLOCKS,
        )
        for case in range(CASES_A_JOB):
            for image, values in zip(("ct", "suv", "heatmap"), scan((64, 64, 64), (8.0, 8.0, 8.0)), strict=True):
                write_image(folder / str(case) / f"{image}.nii.gz", values, np.diag([-8.0, 8.0, 8.0, 1.0]))
        alone = min(seconds_a_case(folder, [case]) for case in range(3))
        together = seconds_a_case(folder, range(CASES_A_JOB))
    return row("start, imports and loading, a case", alone, together, 3, f"{CASES_A_JOB} cases in one job")


def seconds_a_case(folder, cases):
    """Seconds a case that a job takes besides the prediction itself."""
    import tempfile

    with tempfile.TemporaryDirectory() as kept:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", JOB, folder, kept, *map(str, cases)], check=True, stdout=subprocess.DEVNULL
        )
        whole = time.perf_counter() - start
        parts = [read_json(Path(kept, str(case), "prediction.json"))["seconds"] for case in cases]
    return (whole - sum(part["total"] - part["load"] for part in parts)) / len(cases)


def row(name, reference, ours, goal, note):
    return {
        "name": name,
        "reference_s": reference,
        "ours_s": ours,
        "ratio": reference / ours,
        "goal": goal,
        "memory": None,
        "memory_goal": None,
        "note": note,
    }


def agreement(stock, ours) -> str:
    both = np.count_nonzero(stock["mask"] & ours["mask"])
    dice = 2 * both / (np.count_nonzero(stock["mask"]) + np.count_nonzero(ours["mask"]))
    return f"{ours['tiles']} of {stock['tiles']} tiles, Dice {dice:.5f}"


def scan(shape, spacing_mm):
    """CT, SUV and heatmap of an elliptic body with a table under it and a few hot spots."""
    rng = np.random.default_rng(0)
    x, y = (
        (np.arange(length) - length / 2) * edge / (size / 2)
        for length, edge, size in zip(shape, spacing_mm, BODY_MM, strict=False)
    )
    body = (x[:, None] ** 2 + y**2 < 1)[:, :, None]
    ct = np.full(shape, -1000, np.float32, order="F")
    ct += body * np.float32(1040)
    ct[:, np.searchsorted(y, 1.1), :] = 100
    suv = np.zeros(shape, np.float32, order="F")
    suv += body * np.float32(0.8)
    heatmap = np.zeros(shape, np.float32, order="F")
    for centre in rng.integers(0.4 * np.array(shape), 0.6 * np.array(shape), (8, 3)):
        spot = tuple(slice(index - 3, index + 4) for index in centre)
        suv[spot] += np.float32(6)
        heatmap[spot] = 0.5
    return ct, suv, heatmap


def trivial_model(folder: Path):
    """A model folder of patch 192, and the five networks: one 1 x 1 x 1 convolution that likes uptake."""
    import torch
    from tiny_models import write_model

    from clickpet.nnunet.model_folder import read_model_folder

    threads = torch.get_num_threads()
    model = read_model_folder(
        write_model(folder, folds=(), patch=(192, 192, 192), spacing_zyx=SPACING_MM[::-1], features=(32, 64))
    )
    torch.set_num_threads(max(2, threads))
    return model, [timed(seed) for seed in range(FOLDS)]


def timed(seed):
    import torch

    class Timed(torch.nn.Module):
        """A 1 x 1 x 1 convolution, written so that it takes no memory but its logits'."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(seed)
            uptake = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
            self.weight = torch.nn.Parameter(uptake + 0.05 * torch.randn(2, 3))
            self.seconds = 0.0

        def forward(self, image):
            start = time.perf_counter()
            logits = torch.empty((len(image), 2, *image.shape[2:]))
            for label, weights in enumerate(self.weight.tolist()):
                logits[:, label] = 1 - 2 * label
                for channel, weight in enumerate(weights):
                    logits[:, label].add_(image[:, channel], alpha=weight)
            self.seconds += time.perf_counter() - start
            return logits

    return Timed().eval()


def stock_run(model, network, case, spacing_mm, folds=FOLDS):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    parameters = [timed(seed).state_dict() for seed in range(folds)]
    predictor.manual_initialization(
        network, model.plans, model.configuration, parameters, model.dataset, "nnUNetTrainer", AXES
    )
    image = np.stack([array.transpose(2, 1, 0) for array in case])
    properties = {"spacing": list(spacing_mm[::-1])}
    run = measured([network], lambda: predictor.predict_single_npy_array(image, properties))
    slicers = predictor._internal_get_sliding_window_slicers(
        [max(a, b) for a, b in zip(resampled(case[0].shape, spacing_mm), model.patch_size, strict=True)]
    )
    return {**run, "mask": run["result"].transpose(2, 1, 0), "tiles": len(slicers)}


def resampled(shape, spacing_mm):
    return [round(length * edge / to) for length, edge, to in zip(shape, spacing_mm, SPACING_MM, strict=True)][::-1]


def our_run(model, networks, case, spacing_mm, body_box):
    from clickpet.predict.ensemble import LesionEnsemble

    ensemble = LesionEnsemble(model, range(len(networks)), networks)
    study = dict(zip(("ct", "suv", "heatmap", "affine"), (*case, np.diag([*spacing_mm, 1.0])), strict=True))
    options = {"tile_step": 0.5, "mirror_axes": AXES, "body_box": body_box}
    run = measured(networks, lambda: ensemble.predict(**study, **options))
    return {**run, "mask": run["result"].mask, "tiles": run["result"].details["tiles"]}


def measured(networks, call):
    """Result, seconds outside the networks and peak memory of one call."""
    kept = {}
    for network in networks:
        network.seconds = 0.0

    def run():
        start = time.perf_counter()
        kept["result"] = call()
        kept["outside_s"] = time.perf_counter() - start - sum(network.seconds for network in networks)

    return {"peak_mb": peak_extra_bytes(run) / 1e6, **kept}


def tile_rows():
    """Tiles of patch 192 on real anatomies: stock's over the whole grid and ours over the body's box, same step.

    There is no CT of these studies: an ellipse 40 mm wider than the organs, all along the field of view, stands
    for the body.
    """
    if not ORGANS.is_dir():
        yield skipped(
            "tiles, body box", f"no organ maps of real studies in {'/'.join(ORGANS.parts[-4:])} beside the checkout"
        )
        return
    from stand_in_bodies import body_around

    from clickpet.images import read_image, spacing_mm
    from clickpet.predict.body import body_box
    from clickpet.predict.tiling import tiling

    for tracer in ("fdg", "psma"):
        counts = []
        for path in sorted(ORGANS.glob(f"{tracer}_*.nii.gz")):
            image = read_image(path)
            edges = spacing_mm(image.affine)
            ct = body_around(image.array > 0, edges)
            box = body_box(ct=ct, suv=np.zeros_like(ct), affine=image.affine)
            scale = [edge / to for edge, to in zip(edges, SPACING_MM, strict=True)]
            shape = resampled(image.shape, edges)
            part = tuple(
                slice(int(span.start * factor), min(int(np.ceil(span.stop * factor)), length))
                for span, factor, length in zip(box[::-1], scale[::-1], shape, strict=True)
            )
            counts.append((len(tiling(shape, (192,) * 3, 0.5)), len(tiling(shape, (192,) * 3, 0.5, part))))
        stock, ours = np.mean(counts, axis=0)
        least = min(before / after for before, after in counts)
        note = f"mean of {len(counts)} real {tracer.upper()} anatomies, each at least {least:.1f} x fewer"
        yield row(f"tiles, body box, {tracer.upper()}", stock, ours, 3, note)
