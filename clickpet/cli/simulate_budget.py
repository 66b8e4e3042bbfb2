"""`clickpet simulate-budget`: what a cohort would get under a time limit, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate_budget(
    grids: Annotated[
        Path, typer.Argument(help="Table of PET grids: tracer, nx, ny, nz, dx, dy, dz (mm), tab-separated.")
    ],
    members: Annotated[list[int] | None, typer.Option(min=1, help="Networks of the ensemble; repeatable [5].")] = None,
    pass_s: Annotated[
        list[float] | None, typer.Option(min=0, help="Assumed seconds of a forward pass on a patch; repeatable [2].")
    ] = None,
    fixed_s: Annotated[float, typer.Option(min=0, help="Assumed seconds of a study whatever its size.")] = 30,
    per_voxel_s: Annotated[float, typer.Option(min=0, help="Assumed seconds per voxel of the PET.")] = 1e-6,
    time_limit_s: Annotated[float, typer.Option(min=0, help="For a study.")] = 900,
    patch: Annotated[int, typer.Option(min=1, help="Voxels along an edge of a tile.")] = 192,
    tile_step: Annotated[float, typer.Option(min=0.01, max=1, help="Distance of tiles, as part of their size.")] = 0.6,
    body_mm: Annotated[tuple[float, float], typer.Option(help="Width and depth of the body's box.")] = (460, 410),
    network_mm: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Spacing of the network's grid, x y z, for all [per tracer the cohort's median]."),
    ] = None,
) -> None:
    """Simulate mirroring by voxel limits and by time budget, on the whole grid and in the body's box: a table."""
    from clickpet.predict.time_budget import InferenceSetting, median_spacings, pass_s_of_limits, plan_table, read_grids

    studies = read_grids(grids)
    spacings = median_spacings(studies)
    if network_mm:
        spacings = dict.fromkeys(spacings, network_mm)
    common = {"fixed_s": fixed_s, "per_voxel_s": per_voxel_s, "time_limit_s": time_limit_s, "patch": patch}
    common |= {"tile_step": tile_step, "body_mm": body_mm}
    settings = [
        InferenceSetting(members=count, pass_s=seconds, **common)
        for count in members or [5]
        for seconds in pass_s or [2.0]
    ]
    for tracer, edges in spacings.items():
        told = " x ".join(f"{edge:.2f}" for edge in edges)
        typer.echo(f"{tracer}: {sum(grid.tracer == tracer for grid in studies)} studies, network at {told} mm")
    for count in dict.fromkeys(setting.members for setting in settings):
        seconds = pass_s_of_limits(
            InferenceSetting(members=count, **common), spacings.get("fdg") or next(iter(spacings.values()))
        )
        told = ", ".join(f"{value:.2f}" for value in seconds)
        typer.echo(f"{count} networks: the paper's limits for 3, 2, 1 axes are reached at {told} s a pass")
    typer.echo("\n" + plan_table(studies, settings, spacings))
