"""The small twin of `make check-gpu`, on the CPU."""

import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def rows():
    torch.set_num_threads(1)
    sys.path.insert(0, str(BENCH))
    try:
        import bench_gpu
    finally:
        sys.path.remove(str(BENCH))
    return {row["name"]: row for row in bench_gpu.rows("cpu")}


def test_every_part_runs_and_is_timed(rows):
    timed = {name: row["ours_s"] for name, row in rows.items() if row["ours_s"] is not None}
    assert len([name for name in timed if name.startswith("training step")]) == 4
    assert all(seconds > 0 for seconds in timed.values())
    assert "no GPU: the small twin" in next(iter(rows))
    ensemble = next(row for name, row in rows.items() if name.startswith("ensemble of 2"))
    tiles, passes = (int(part.split()[0]) for part in ensemble["note"].split(", ")[:2])
    assert passes == tiles * 8 * 2


def test_the_killed_training_went_on(rows):
    assert rows["a small training, killed and resumed"]["note"].count(",") == 3


def test_the_masks_are_compared(rows):
    assert rows["masks of this device and of the CPU"]["note"].startswith("Dice 1.00000 of ")
