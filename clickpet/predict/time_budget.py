"""Simulated inference times of a cohort: mirroring by voxel limits against a time budget, with and without body box.

Nothing is run: the grids of the studies give voxels and tiles, an assumed number of seconds a forward pass gives times.
Paper, section 2.2, "Dynamic Inference Depth".
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.predict.mirroring import VOXEL_LIMITS, Workload, expected_s, mirror_axes_for, plan_axes
from clickpet.predict.tiling import tiling

#: Columns of a table of grids: voxels and millimetres along x, y, z.
COLUMNS = ("tracer", "nx", "ny", "nz", "dx", "dy", "dz")
#: Grid on which the paper's limits are read back into seconds: that of the FDG studies, 400 x 400 voxels a slice.
FDG_SLICE_VOX = 400


@dataclass(frozen=True)
class Grid:
    """PET grid of a study: voxels and spacing along x, y, z."""

    tracer: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class InferenceSetting:
    """Assumptions about ensemble, machine and time limit.

    members : networks;  patch : voxels of a tile;  tile_step : distance of tiles as part of their size;
    pass_s, fixed_s, per_voxel_s : seconds of a forward pass of one network on one tile, of a study whatever its size
    (start, loading) and per voxel of its PET grid (reading, preparing, writing);  time_limit_s : for a study;
    body_mm : width and depth of the box around the body that stands for every study, all along z.
    """

    members: int = 5
    patch: int = 192
    tile_step: float = 0.6
    pass_s: float = 2.0
    fixed_s: float = 30.0
    per_voxel_s: float = 1e-6
    time_limit_s: float = 900.0
    body_mm: tuple[float, float] = (460.0, 410.0)

    @property
    def calibration(self) -> dict:
        """The assumed times in the form of `clickpet.predict.calibrate`."""
        per_pass = {str(n_axes): self.pass_s for n_axes in range(4)}
        return {"fixed_s": self.fixed_s, "per_voxel_s": self.per_voxel_s, "pass_s": per_pass}


def read_grids(path: str | Path) -> list[Grid]:
    """Read a tab-separated table with the columns COLUMNS, a row a study; others are ignored.

    Raises InputError for a missing file or column and for sizes that are not positive numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, mend="give a table of PET grids")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t")
            columns, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no table ({error})", where=path, mend="save it as tab-separated UTF-8") from error
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise InputError(f"has no column {', '.join(missing)}", where=path, mend=f"give {', '.join(COLUMNS)}")
    grids = [_grid(row, f"{path}: row {number}") for number, row in enumerate(rows, start=2)]
    if not grids:
        raise InputError("holds no study", where=path, mend="give a row for each study")
    return grids


def _grid(row: Mapping[str, str], where: str) -> Grid:
    try:
        shape = tuple(int(row[name]) for name in COLUMNS[1:4])
        edges = tuple(float(row[name]) for name in COLUMNS[4:])
    except (TypeError, ValueError) as error:
        raise InputError("has a size that is not a number", where=where, mend="correct it") from error
    if min(shape) < 1 or not all(0 < edge < np.inf for edge in edges):
        raise InputError("has a size that is not positive", where=where, mend="correct it")
    return Grid(row["tracer"], shape, edges)


def median_spacings(grids: Iterable[Grid]) -> dict[str, tuple[float, float, float]]:
    """Per tracer the median spacing (x, y, z) of its studies, mm: what nnU-Net plans for such a cohort."""
    edges: dict[str, list] = {}
    for grid in grids:
        edges.setdefault(grid.tracer, []).append(grid.spacing_mm)
    return {tracer: tuple(np.median(of_tracer, axis=0).tolist()) for tracer, of_tracer in edges.items()}


def workload(grid: Grid, network_mm: Sequence[float], setting: InferenceSetting, *, body_box: bool) -> Workload:
    """Voxels, tiles and members of a study whose network sees it at a spacing of `network_mm` (x, y, z)."""
    shape = [max(1, round(n * edge / to)) for n, edge, to in zip(grid.shape, grid.spacing_mm, network_mm, strict=True)]
    box = None
    if body_box:
        widths = [int(np.ceil(edge / to)) for edge, to in zip(setting.body_mm, network_mm, strict=False)]
        lows = [max(0, (length - width) // 2) for length, width in zip(shape, widths, strict=False)]
        xy = [slice(low, min(length, low + width)) for low, length, width in zip(lows, shape, widths, strict=False)]
        box = (slice(0, shape[2]), *xy[::-1])
    tiles = tiling(shape[::-1], (setting.patch,) * 3, setting.tile_step, box)
    return Workload(int(np.prod(grid.shape)), len(tiles), setting.members)


def pass_s_of_limits(
    setting: InferenceSetting,
    network_mm: Sequence[float],
) -> list:
    """Seconds a pass at which FDG studies just below each of the paper's voxel limits take exactly the time limit.

    network_mm : spacing (x, y, z) of the network's grid; tiles are over the whole grid.
    """
    seconds = []
    for limit, n_axes in zip(VOXEL_LIMITS, (3, 2, 1), strict=True):
        slices = int(limit) // FDG_SLICE_VOX**2
        work = workload(Grid("fdg", (FDG_SLICE_VOX,) * 2 + (slices,), tuple(network_mm)), network_mm, setting,
                        body_box=False)  # fmt: skip
        remaining_s = setting.time_limit_s - setting.fixed_s - setting.per_voxel_s * work.voxels
        seconds.append(remaining_s / (work.tiles * 2**n_axes * work.members))
    return seconds


def simulate(
    grids: Sequence[Grid],
    setting: InferenceSetting,
    network_mm: Mapping[str, Sequence[float]],
    *,
    mode: str,
    body_box: bool,
) -> dict:
    """Mirroring and times of the studies.

    Returns {"axes": studies with 3, 2, 1, 0 axes, "over": studies over the limit, "longest_s", "median_s", "tiles":
    their sum}.

    mode : "voxels" (the paper's limits) or "budget" (the most axes that fit);  network_mm : spacing by tracer.
    """
    counts, seconds, tiles = [0] * 4, [], 0
    for grid in grids:
        work = workload(grid, network_mm[grid.tracer], setting, body_box=body_box)
        if mode == "voxels":
            axes = mirror_axes_for(work.voxels)
        else:
            axes, _ = plan_axes(setting.calibration, work, time_limit_s=setting.time_limit_s)
        counts[3 - len(axes)] += 1
        seconds.append(expected_s(setting.calibration, work, len(axes)))
        tiles += work.tiles
    over = int(np.sum(np.array(seconds) > setting.time_limit_s))
    return {"axes": counts, "over": over, "longest_s": max(seconds), "median_s": float(np.median(seconds)),
            "tiles": tiles}  # fmt: skip


def plan_table(
    grids: Sequence[Grid], settings: Sequence[InferenceSetting], network_mm: Mapping[str, Sequence[float]]
) -> str:
    """`simulate` for each setting, mode and tiling, as a Markdown table."""
    head = ["networks", "s a pass", "axes by", "tiles over", "3 axes", "2", "1", "0"]
    head += ["over the limit", "median s", "longest s", "tiles in all"]
    lines = [f"| {' | '.join(head)} |", f"|{'--:|' * 2}{'---|' * 2}{'--:|' * 8}"]
    for setting in settings:
        for mode, body_box in (("voxels", False), ("voxels", True), ("budget", False), ("budget", True)):
            found = simulate(grids, setting, network_mm, mode=mode, body_box=body_box)
            names = ["voxel limits" if mode == "voxels" else "budget", "body box" if body_box else "whole grid"]
            numbers = [*found["axes"], found["over"], found["median_s"], found["longest_s"], found["tiles"]]
            cells = [str(setting.members), f"{setting.pass_s:.2f}", *names, *(f"{value:,.0f}" for value in numbers)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
