"""clickpet.predict.time_budget: a cohort under a time limit, without running anything."""

from itertools import product

import numpy as np
import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.errors import InputError
from clickpet.predict.mirroring import MIRROR_AXES
from clickpet.predict.time_budget import (
    COLUMNS,
    Grid,
    InferenceSetting,
    median_spacings,
    pass_s_of_limits,
    plan_table,
    read_grids,
    simulate,
    workload,
)

FDG_MM, PSMA_MM = (2.0, 2.0, 3.0), (4.0, 4.0, 3.0)
NETWORK_MM = {"fdg": FDG_MM, "psma": PSMA_MM}
COHORT = [Grid("fdg", (400, 400, slices), FDG_MM) for slices in range(200, 660, 20)]
COHORT += [Grid("psma", (200, 200, slices), PSMA_MM) for slices in range(150, 350, 10)]


def table_of(folder, *rows, columns=COLUMNS):
    path = folder / "grids.tsv"
    path.write_text("\n".join("\t".join(map(str, row)) for row in [columns, *rows]) + "\n")
    return path


def test_grids_are_read_by_name(tmp_path):
    row = {"nx": 400, "ny": 390, "nz": 326, "dx": 2.0, "dy": 2.1, "dz": 3.0, "tracer": "fdg", "case": "a b"}
    path = table_of(tmp_path, row.values(), columns=row)
    assert read_grids(path) == [Grid("fdg", (400, 390, 326), (2.0, 2.1, 3.0))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("fdg", 4, 4, "four", 1, 1, 1), "row 2: has a size that is not a number"),
        (("fdg", 4, 4), "row 2: has a size that is not a number"),
        (("fdg", 4, 0, 4, 1, 1, 1), "row 2: has a size that is not positive"),
        (("fdg", 4, 4, 4, 1, 1, "nan"), "row 2: has a size that is not positive"),
    ],
)
def test_broken_rows_are_named(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        read_grids(table_of(tmp_path, row))


def test_tables_without_columns_rows_or_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_grids(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="has no column dx, dy, dz"):
        read_grids(table_of(tmp_path, columns=COLUMNS[:4]))
    with pytest.raises(InputError, match="holds no study"):
        read_grids(table_of(tmp_path))


def test_the_network_has_the_median_spacing_of_its_tracer():
    grids = [Grid("psma", (9, 9, 9), (4.0, 4.0, z)) for z in (2.0, 2.0, 3.0, 5.0, 5.0)] + [COHORT[0]]
    assert median_spacings(grids) == {"psma": (4.0, 4.0, 3.0), "fdg": FDG_MM}


@pytest.mark.parametrize(
    ("slices", "body_box", "tiles"),
    [(100, False, 9), (192, False, 9), (193, False, 18), (326, False, 27), (326, True, 12), (700, False, 54)],
)
def test_tiles_counted_by_hand(slices, body_box, tiles):
    """Tiles of 192 every 115.2 voxels: three along 400; two along the body's 230 and 205 voxels of 2 mm."""
    work = workload(Grid("fdg", (400, 400, slices), FDG_MM), FDG_MM, InferenceSetting(), body_box=body_box)
    assert (work.voxels, work.tiles, work.members) == (160_000 * slices, tiles, 5)


def test_a_grid_smaller_than_the_body_keeps_its_tiles():
    grid = Grid("psma", (100, 90, 80), PSMA_MM)
    assert workload(grid, PSMA_MM, InferenceSetting(), body_box=True).tiles == 1
    assert workload(grid, PSMA_MM, InferenceSetting(patch=64), body_box=True).tiles == 8


def test_seconds_read_back_from_the_limits_are_those_at_which_they_hold():
    for limit, n_axes, pass_s in zip(
        (18e6, 39e6, 90e6), (3, 2, 1), pass_s_of_limits(InferenceSetting(), FDG_MM), strict=True
    ):
        grid = Grid("fdg", (400, 400, int(limit) // 160_000), FDG_MM)
        found = simulate([grid], InferenceSetting(pass_s=pass_s), {"fdg": FDG_MM}, mode="voxels", body_box=False)
        assert found["axes"][3 - n_axes] == 1
        assert found["longest_s"] == pytest.approx(900)


@pytest.mark.parametrize(("members", "pass_s", "body_box"), list(product((1, 5, 6), (0.5, 2.0, 8.0), (False, True))))
def test_budget_takes_all_that_fits_and_nothing_more(members, pass_s, body_box):
    setting = InferenceSetting(members=members, pass_s=pass_s)
    found = simulate(COHORT, setting, NETWORK_MM, mode="budget", body_box=body_box)
    expected, over = [0] * 4, 0
    for grid in COHORT:
        work = workload(grid, NETWORK_MM[grid.tracer], setting, body_box=body_box)
        taken = [30 + 1e-6 * work.voxels + pass_s * work.tiles * 2 ** len(axes) * members for axes in MIRROR_AXES]
        fitting = [index for index, seconds in enumerate(taken) if seconds <= 900]
        expected[fitting[0] if fitting else 3] += 1
        over += not fitting
    assert found["axes"] == expected
    assert found["over"] == over
    if not over:
        assert found["longest_s"] <= 900


def test_voxel_limits_know_nothing_of_the_ensemble():
    found = [
        simulate(COHORT, InferenceSetting(members=members), NETWORK_MM, mode="voxels", body_box=box)
        for members in (1, 6)
        for box in (False, True)
    ]
    assert len({tuple(one["axes"]) for one in found}) == 1
    assert found[2]["over"] > found[0]["over"]
    assert found[3]["tiles"] == found[1]["tiles"] < found[0]["tiles"]


def test_the_command_prints_a_row_for_each_setting(tmp_path):
    rows = [(grid.tracer, *grid.shape, *grid.spacing_mm) for grid in COHORT]
    words = ["simulate-budget", str(table_of(tmp_path, *rows)), "--members", "5", "--members", "6", "--pass-s", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "fdg: 23 studies, network at 2.00 x 2.00 x 3.00 mm" in result.output
    settings = [InferenceSetting(members=5), InferenceSetting(members=6)]
    assert plan_table(COHORT, settings, NETWORK_MM) in result.output
    lines = [line for line in result.output.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 2 * 4
    assert [sum(map(int, line.split("|")[5:9])) for line in lines[2:]] == [len(COHORT)] * 8


def test_the_cohort_of_autopet(shared_data):
    grids = read_grids(shared_data / "autopet" / "cohort.tsv")
    spacings = median_spacings(grids)
    assert len(grids) == 1611
    assert np.round(spacings["fdg"], 2).tolist() == [2.04, 2.04, 3.0]
    found = simulate(grids, InferenceSetting(), spacings, mode="voxels", body_box=False)
    assert found["axes"][0] == sum(np.prod(grid.shape) < 18e6 for grid in grids)
