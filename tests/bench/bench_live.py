"""Live sessions: one more click on a whole body.

A PET/CT of 400 x 400 x 326 voxels on the network's grid, tiles of 192 and of 96 voxels, tile step 0.6, one mirrored
axis, five folds of a network that costs nothing. From scratch is the first prediction of a session, with
post-processing and lesion table; live is each one after it. Clicks are random voxels of the body, tumour or background.
Rows of tiles show tiles in place of seconds, live the median over clicks; rows of seconds the median
outside the networks over the first clicks. The last row is a phantom patient with untrained networks of the demo's
size: seconds with the networks, from a click to the new mask and table.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from bench_inference import FOLDS, SHAPE, SPACING_MM, row, scan

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

#: Clicks whose tiles are counted, and those among them whose seconds are measured.
CLICKS, TIMED_CLICKS = 100, 7
AFFINE = np.diag([-SPACING_MM[0], SPACING_MM[1], SPACING_MM[2], 1.0])  # as the networks see it
#: Goals over the whole grid: tiles from scratch over tiles after a click, by patch.
GOALS = {192: 2, 96: 10}
#: Seconds outside the networks, on two cores.
MOST_S = 1.0
PREDICT = {"tile_step": 0.6, "voxel_limits": [18e6, 39e6, 90e6]}


def rows():
    """Tiles and seconds of a click, over the body's box and the whole grid; then a phantom patient."""
    ct, suv, _ = scan(SHAPE, SPACING_MM)
    inside = np.argwhere((ct[::4, ::4, ::4] > -500) & (suv[::4, ::4, ::4] > 0)) * 4
    rng = np.random.default_rng(0)
    clicks = [(("tumor", "background")[rng.integers(2)], inside[rng.integers(len(inside))]) for _ in range(CLICKS)]
    boxes = boxes_of(clicks, suv)
    for patch, goal in GOALS.items():
        for body_box in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                yield from click_rows(models(Path(folder), patch, body_box), ct, suv, clicks, boxes, goal)
    yield phantom_row()


def models(folder, patch, body_box):
    """Models of one tracer whose five networks answer at once."""
    import torch
    from tiny_models import write_model

    from clickpet.live.models import LiveModels
    from clickpet.models.patient import resolved_config
    from clickpet.models.settings import read_settings
    from clickpet.nnunet.model_folder import read_model_folder
    from clickpet.predict.ensemble import LesionEnsemble

    threads = torch.get_num_threads()
    write_model(folder / "fdg", folds=(0,), patch=(patch,) * 3, spacing_zyx=SPACING_MM[::-1], features=(32, 64))
    torch.set_num_threads(max(2, threads))
    model = read_model_folder(folder / "fdg")
    ensemble = LesionEnsemble(model, range(FOLDS), [Instant() for _ in range(FOLDS)])
    config = resolved_config({"predict": {**PREDICT, "body_box": body_box}})
    return LiveModels(read_settings(folder), config, "cpu", {"fdg": ensemble}, [], lock=ensemble.lock)


class Instant:
    """A network whose logits lie ready: a few spots of lesion. `seconds` is what it took."""

    def __init__(self):
        self.seconds, self.logits = 0.0, {}

    def __call__(self, images):
        import torch

        start = time.perf_counter()
        shape = (len(images), 2, *images.shape[2:])
        if shape not in self.logits:
            logits = torch.zeros(shape)
            logits[:, 0] = 4
            logits[:, 1, 20:26, 20:26, 20:26] = 8
            self.logits[shape] = logits
        given = self.logits[shape].clone()
        self.seconds += time.perf_counter() - start
        return given


def click_rows(models, ct, suv, clicks, boxes, goal):
    """Rows of tiles and seconds of one more click."""
    from clickpet.live.session import LiveSession

    (ensemble,) = models.ensembles.values()

    def outside(call):
        for network in ensemble.networks:
            network.seconds = 0.0
        start = time.perf_counter()
        result = call()
        return time.perf_counter() - start - sum(network.seconds for network in ensemble.networks), result

    session = LiveSession(models)
    session.set_study(ct=ct, pet=suv, affine=AFFINE)
    scratch_s, first = outside(session.predict)
    taken = []
    for kind, point in clicks[:TIMED_CLICKS]:
        session.add(kind, point)
        taken.append(outside(session.predict)[0])
    kept_mb = session.kept_bytes / 1e6
    session.close()
    tiles = tiles_of_clicks(models, ct, suv, boxes)
    patch = ensemble.model.patch_size[0]
    where = "body box" if models.config["predict"]["body_box"] else "whole grid"
    name = f"one more click, tiles of {patch}, {where}"
    # the body's box leaves so few tiles that a click is in a large part of them, wherever it is: no goal
    tiles_goal = None if models.config["predict"]["body_box"] else goal
    yield row(f"{name}: tiles", first.tiles_run, median(tiles), tiles_goal, f"median of {len(tiles)} clicks")
    note = f"median of {len(taken)} clicks, longest {max(taken):.2f} s, {kept_mb:,.0f} MB of tiles kept"
    yield row(f"{name}: outside the network", scratch_s, median(taken), scratch_s / MOST_S, f"{note}; goal: 1 s")


def boxes_of(clicks, suv):
    """Box (z, y, x) of the heatmap of each click alone."""
    from clickpet.clicks.heatmap import draw_heatmap
    from clickpet.clicks.model import Clicks, Interaction
    from clickpet.nnunet.nonzero_box import nonzero_box

    one_by_one = (Clicks.from_interactions([Interaction(kind, point)]) for kind, point in clicks)
    return [nonzero_box([draw_heatmap(suv, click, affine=AFFINE)])[::-1] for click in one_by_one]


def tiles_of_clicks(models, ct, suv, boxes):
    """Tiles that see each click, without networks."""
    from clickpet.nnunet.nonzero_box import intersection, nonzero_box
    from clickpet.predict.body import body_box
    from clickpet.predict.network_grid import NetworkGrid
    from clickpet.predict.tiling import tiling

    (ensemble,) = models.ensembles.values()
    grid = NetworkGrid(ensemble.model, ct.shape, AFFINE, nonzero_box([ct, suv]))
    box = grid.box(body_box(ct=ct, suv=suv, affine=AFFINE)) if models.config["predict"]["body_box"] else None
    tiles = tiling(grid.shape, ensemble.model.patch_size, models.config["predict"]["tile_step"], box)
    places = [
        tuple(slice(first, first + size) for first, size in zip(start, tiles.tile, strict=True)) for start in tiles
    ]
    return [sum(intersection(place, seen) is not None for place in places) for seen in boxes]


def phantom_row():
    """A phantom patient, networks of the demo's size (untrained): from scratch, and from a click to the new mask."""
    from phantom_patient import new_patient, write_patient
    from tiny_models import write_model

    from clickpet.clicks.reading import read_clicks
    from clickpet.ingest.petct import read_study
    from clickpet.live.models import LiveModels
    from clickpet.live.session import LiveSession
    from clickpet.models.settings import write_settings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_patient(folder)
        demo = {"patch": (24, 24, 24), "features": (8, 16, 32), "spacing_zyx": (8.25, 6.5, 6.5)}
        write_model(folder / "models" / "psma", folds=(0, 1, 2), **demo)
        write_settings(folder / "models", {"psma": (0, 1, 2)}, heatmap={}, mip=None)
        files = {name: folder / file for name, file in new_patient().files.items() if file}
        study = read_study(ct=files["ct"], pet=files["pet"])
        clicks = read_clicks(files["clicks"], shape=study.shape, affine=study.affine)
        config = {"predict": {"tile_step": 0.8, "voxel_limits": [1, 2, 3]}}
        session = LiveSession(LiveModels.load(folder / "models", "cpu", config=config))
        session.set_study(ct=study.ct, pet=study.suv, affine=study.affine)
        first = session.predict()
        taken, tiles = [], []
        for one in clicks.interactions():
            session.add(one.kind, one.points)
            result = session.predict()
            taken.append(result.seconds)
            tiles.append(result.tiles_run)
        note = (
            f"median of {len(taken)} clicks, longest {max(taken):.2f} s, {median(tiles):g} of {first.tiles_run} tiles"
        )
        return row("phantom patient, click to mask", first.seconds, median(taken), first.seconds / MOST_S, note)
