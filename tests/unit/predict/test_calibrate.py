"""clickpet.predict.calibrate: a table that predicts what a case takes on this machine."""

import pytest
from tiny_models import write_model

from clickpet.predict.calibrate import calibrate, calibration_table
from clickpet.predict.mirroring import Workload, expected_s, plan_axes

SIZES = ((20, 20, 20), (40, 40, 40), (50, 50, 50))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return calibrate(write_model(tmp_path_factory.mktemp("models") / "fdg"), device="cpu", sizes=SIZES)


def test_calibration(measured):
    assert measured["device"] == "cpu"
    assert measured["patch"] == [16, 16, 16]
    assert measured["fixed_s"] > 0.5  # Python and its libraries
    assert 0 <= measured["per_voxel_s"] < 1e-4
    assert set(measured["pass_s"]) == {"0", "1", "2", "3"}
    assert all(0 < seconds < 1 for seconds in measured["pass_s"].values())
    assert [row["passes"] for row in measured["rows"] if row["what"] == "window"] == [8, 8, 8, 8]
    assert [row["voxels"] for row in measured["rows"] if row["what"] == "around"] == [8000, 64000, 125000]


def test_it_plans(measured):
    work = Workload(10**6, 1000, 5)
    seconds = [expected_s(measured, work, n_axes) for n_axes in range(4)]
    assert plan_axes(measured, work, time_limit_s=max(seconds))[0] == (0, 1, 2)
    assert plan_axes(measured, work, time_limit_s=0.1)[0] == ()


def test_table(measured):
    lines = calibration_table({"fdg": measured, "psma": measured}).splitlines()
    assert lines[0].split("\t")[:4] == ["model", "device", "threads", "patch"]
    assert len(lines) == 1 + 2 * (1 + 3 + 4)
    assert {line.split("\t")[0] for line in lines[1:]} == {"fdg", "psma"}
    assert all(len(line.split("\t")) == 10 for line in lines)
