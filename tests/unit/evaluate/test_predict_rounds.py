"""The script of a case's rounds with a tiny network: what it writes, that it repeats itself, and no leakage."""

import json

import numpy as np
import pytest
from jobs import run_script
from tiny_models import write_model

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.reading import read_clicks
from clickpet.evaluate.rounds import added_in_round
from clickpet.images import read_image, write_image
from clickpet.postprocess.final_mask import post_process
from clickpet.postprocess.options import PostprocessOptions
from clickpet.predict.ensemble import LesionEnsemble

AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])
SHAPE = (24, 22, 20)
GRID = {"shape": SHAPE, "affine": AFFINE}
PREDICT = {"tile_step": 0.6, "body_box": False}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study, a model with two folds, and the splits that held the study out of fold 1."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:12, 6:11, 8:12] = 1
    for name, array in (
        ("ct", rng.normal(0, 300, SHAPE).astype(np.float32)),
        ("suv", rng.gamma(2, 2, SHAPE).astype(np.float32)),
        ("truth", truth),
    ):
        write_image(folder / f"{name}.nii.gz", array, AFFINE)
    write_model(folder / "models" / "fdg", folds=(0, 1))
    (folder / "tracer.json").write_text(json.dumps({"tracer": "fdg"}))
    (folder / "splits.json").write_text(json.dumps({"cases": {"a": 1}}))
    return folder


def play(study, out, *, protocol="rounds", rounds=3, replay=(), seed=42):
    paths = {
        name: [out / f"round_{number}" / name for number in range(rounds)] for name in ("mask.nii.gz", "clicks.json")
    }
    run_script(
        "predict_rounds",
        input={
            **{name: study / f"{name}.nii.gz" for name in ("ct", "suv", "truth")},
            "tracer": study / "tracer.json",
            "splits": study / "splits.json",
            "replay": list(replay),
        },
        output={"masks": paths["mask.nii.gz"], "interactions": paths["clicks.json"]},
        params={
            "slug": "a",
            "protocol": protocol,
            "split": "train",
            "folds": {"fdg": [0, 1]},
            "models": {"fdg": str(study / "models" / "fdg")},
            "predict": PREDICT,
            "postprocess": {},
            "heatmap": {},
            "seed": seed,
        },
        log=out / "log",
    )
    masks = [read_image(path).array for path in paths["mask.nii.gz"]]
    return masks, [read_clicks(path, **GRID) for path in paths["clicks.json"]], paths


def test_each_round_is_an_ordinary_prediction_with_the_clicks_so_far(study, tmp_path):
    masks, clicks, _ = play(study, tmp_path)
    suv, ct, truth = (read_image(study / f"{name}.nii.gz").array for name in ("suv", "ct", "truth"))
    ensemble = LesionEnsemble.load(study / "models" / "fdg", [1])  # the fold that held the study out
    assert clicks[0].most == 0
    for number, (mask, so_far) in enumerate(zip(masks, clicks, strict=True)):
        heatmap = draw_heatmap(suv, so_far, affine=AFFINE)
        raw = ensemble.predict(ct=ct, suv=suv, heatmap=heatmap, affine=AFFINE, mirror_axes=(0, 1, 2), **PREDICT).mask
        assert np.array_equal(mask, post_process(raw, suv, AFFINE, PostprocessOptions()).mask)
        added = added_in_round(clicks, number)
        assert len(added) == (number > 0)
        for one in added:
            error = (
                (truth != 0) & (masks[number - 1] == 0)
                if one.kind == "tumor"
                else (truth == 0) & (masks[number - 1] != 0)
            )
            assert error[tuple(one.points.T)].all()


def test_a_repeat_is_the_same_bit_for_bit(study, tmp_path):
    first, second = (play(study, tmp_path / name)[2] for name in ("first", "second"))
    for name in first:
        for one, other in zip(first[name], second[name], strict=True):
            assert one.read_bytes() == other.read_bytes()


def test_replayed_interactions(study, tmp_path):
    given = tmp_path / "a.json"
    given.write_text(json.dumps({"rounds": [{}, {"tumor": [[6, 7, 9], [7, 7, 9]]}, {"background": [[1, 1, 1]]}]}))
    _, clicks, _ = play(study, tmp_path / "replay", protocol="replay", rounds=4, replay=[given])
    assert [[len(one.points) for one in so_far.interactions()] for so_far in clicks] == [[], [2], [2, 1], [2, 1]]
    _, played, paths = play(study, tmp_path / "played")
    again = tmp_path / "again"
    _, clicks, _ = play(study, again, protocol="replay", replay=paths["clicks.json"])
    assert clicks == played  # rounds of another run, a file each
