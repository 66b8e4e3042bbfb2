"""`clickpet score`: the scores of two masks as JSON."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.evaluate.scores import score_case
from clickpet.images import write_image

AFFINE = np.diag([4.0, 5.0, 5.0, 1.0])
run = CliRunner().invoke


@pytest.fixture
def files(tmp_path):
    truth, prediction = np.zeros((12, 12, 8), np.uint8), np.zeros((12, 12, 8), np.uint8)
    truth[2:5, 2:5, 2] = truth[8:10, 8:10, 5] = prediction[3:6, 2:5, 2] = 1
    suv = np.random.default_rng(0).gamma(2, 2, truth.shape).astype(np.float32)
    paths = {}
    for name, array in (("truth", truth), ("prediction", prediction), ("pet", suv), ("empty", truth * 0)):
        paths[name] = tmp_path / f"{name}.nii.gz"
        write_image(paths[name], array, AFFINE)
    return paths, (prediction, truth, suv)


def test_all_scores_under_the_names_of_the_tables(files):
    paths, _ = files
    done = run(app, ["score", "--truth", str(paths["truth"]), "--prediction", str(paths["prediction"])])
    assert done.exit_code == 0
    score = json.loads(done.output)
    assert score["dice"] == pytest.approx(2 * 6 / 22)
    assert (score["tp"], score["fp"], score["fn"], score["f1_iou10"]) == (1, 0, 1, pytest.approx(2 / 3))
    assert score["fnv_ml"] == pytest.approx(0.4)
    assert "truth_tlg" not in score


def test_with_the_pet_it_is_the_score_of_the_workflow(files):
    paths, arrays = files
    named = [word for name in ("truth", "prediction", "pet") for word in (f"--{name}", str(paths[name]))]
    score = json.loads(run(app, ["score", *named]).output)
    assert score == pytest.approx(score_case(*arrays, AFFINE)[0])


def test_what_has_no_value_is_null(files):
    paths, _ = files
    done = run(app, ["score", "--truth", str(paths["empty"]), "--prediction", str(paths["prediction"])])
    score = json.loads(done.output)
    assert score["dice"] is None
    assert score["f1_iou10"] is None
    assert score["fp"] == 1


def test_masks_of_two_grids(files, tmp_path):
    paths, (prediction, *_) = files
    write_image(tmp_path / "other.nii.gz", prediction[:-1], AFFINE)
    done = run(app, ["score", "--truth", str(paths["truth"]), "--prediction", str(tmp_path / "other.nii.gz")])
    assert done.exit_code == 1
    assert "bring truth, prediction and PET to one grid" in done.output
