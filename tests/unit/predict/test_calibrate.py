"""clickpet.predict.calibrate: a table that predicts what a case takes on this machine."""

import pytest
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import read_model_folder
from clickpet.predict import calibrate as calibrate_module
from clickpet.predict.calibrate import calibrate, calibration_table, check_calibration
from clickpet.predict.mirroring import Workload, expected_s, plan_axes

SIZES = ((20, 20, 20), (40, 40, 40), (50, 50, 50))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "fdg", folds=(0, 1))


@pytest.fixture(scope="module")
def measured(folder):
    return calibrate(folder, (0, 1), device="cpu", sizes=SIZES)


def test_calibration(measured):
    assert measured["device"] == "cpu"
    assert measured["members"] == 2
    assert measured["patch"] == [16, 16, 16]
    start_s, first_tiles_s = (
        next(row["seconds"] for row in measured["rows"] if row["what"] == what) for what in ("start", "first tiles")
    )
    assert start_s > 0.5  # Python, its libraries and the networks
    assert measured["fixed_s"] >= 1.05 * (start_s + first_tiles_s)
    assert 0 <= measured["per_voxel_s"] < 1e-4
    assert set(measured["pass_s"]) == {"0", "1", "2", "3"}
    assert all(0 < seconds < 1 for seconds in measured["pass_s"].values())
    assert [row["passes"] for row in measured["rows"] if row["what"] == "window"] == [16, 16, 16, 16]
    assert [row["voxels"] for row in measured["rows"] if row["what"] == "around"] == [8000, 64000, 125000]


def test_it_plans(measured):
    work = Workload(10**6, 1000, 5)
    seconds = [expected_s(measured, work, n_axes) for n_axes in range(4)]
    assert plan_axes(measured, work, time_limit_s=max(seconds))[0] == (0, 1, 2)
    assert plan_axes(measured, work, time_limit_s=0.1)[0] == ()


def test_table(measured):
    lines = calibration_table({"fdg": measured, "psma": measured}).splitlines()
    assert lines[0].split("\t")[:4] == ["model", "device", "threads", "patch"]
    assert len(lines) == 1 + 2 * (1 + 3 + 1 + 4)
    assert {line.split("\t")[0] for line in lines[1:]} == {"fdg", "psma"}
    assert all(len(line.split("\t")) == 10 for line in lines)


def test_networks_are_loaded_as_for_a_prediction(folder, monkeypatch):
    loaded = []
    load = calibrate_module.LesionEnsemble.load
    monkeypatch.setattr(
        calibrate_module.LesionEnsemble, "load", lambda *given, **named: loaded.append(given) or load(*given, **named)
    )
    calibrate(folder, (1,), device="cpu", sizes=SIZES)
    assert loaded == [(folder, (1,))]
    with pytest.raises(InputError, match="no such checkpoint"):
        calibrate(folder, (0, 7), device="cpu", sizes=SIZES)


def test_a_calibration_is_of_one_kind_of_card(folder, measured, monkeypatch):
    model = read_model_folder(folder)
    assert check_calibration(measured, model, "cpu") is measured
    with pytest.raises(InputError, match=r"on cpu, the model has .* on mps"):
        check_calibration(measured, model, "mps")
    monkeypatch.setattr(calibrate_module, "device_name", lambda device: "Tesla T4")
    on_t4 = {**measured, "device": "Tesla T4"}
    assert check_calibration(on_t4, model, "cuda") is on_t4
    with pytest.raises(InputError, match=r"on NVIDIA H100, the model has .* on Tesla T4"):
        check_calibration({**measured, "device": "NVIDIA H100"}, model, "cuda")
