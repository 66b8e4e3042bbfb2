"""All of post-processing in its order, and the scripts that run it."""

import json

import numpy as np
import pytest
from jobs import run_script

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.writing import write_clicks
from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.postprocess.final_mask import post_process
from clickpet.postprocess.options import PostprocessOptions
from clickpet.postprocess.specks import drop_faint_specks

AFFINE = np.diag([-2.0, 2.0, 5.0, 1.0])  # a voxel has 0.02 ml


def study():
    """A speck (3 voxels, SUV 2), a lesion (64 voxels, SUV 9), a large faint component (64 voxels, SUV 4.5)."""
    mask, suv = np.zeros((30, 10, 10), np.uint8), np.full((30, 10, 10), 0.5, np.float32)
    for part, uptake in ((np.s_[0, 0, 0:3], 2), (np.s_[5:9, 3:7, 3:7], 9), (np.s_[20:24, 3:7, 3:7], 4.5)):
        mask[part], suv[part] = 1, uptake
    return mask, suv


def parts(mask):
    """Voxels of speck, lesion and faint component that are left."""
    return mask[0:3].sum(), mask[4:12].sum(), mask[18:28].sum()


def test_the_default_is_the_papers_rule():
    mask, suv = study()
    final = post_process(mask, suv, AFFINE, PostprocessOptions())
    np.testing.assert_array_equal(final.mask, drop_faint_specks(mask, suv))
    assert parts(final.mask) == (0, 64, 64)
    assert final.record == {}


def test_weak_components_go_before_clicks_are_honoured():
    mask, suv = study()
    options = PostprocessOptions(min_component_suv_max=5)
    assert parts(post_process(mask, suv, AFFINE, options).mask) == (0, 64, 0)
    options = PostprocessOptions(min_component_probability=0.8)
    final = post_process(mask, suv, AFFINE, options, probability=np.array([0.9, 0.7, 0.8], np.float32))
    assert parts(final.mask) == (0, 0, 64)


def test_a_clicked_component_is_never_dropped_where_clicks_are_honoured():
    mask, suv = study()
    clicks = Clicks([[0, 0, 1], [21, 4, 4]], [])
    kept = post_process(mask, suv, AFFINE, PostprocessOptions(min_component_suv_max=5), clicks=clicks).mask
    assert parts(kept) == (0, 64, 0)
    options = PostprocessOptions(min_component_suv_max=5, honour_clicks=True)
    final = post_process(mask, suv, AFFINE, options, clicks=clicks)
    np.testing.assert_array_equal(final.mask, mask != 0)
    assert final.record == {"contradictions": [], "grown": [], "removed": [], "cut": []}


def test_a_component_around_a_clicked_cold_centre_is_not_dropped_as_weak():
    places = np.stack(np.indices((15, 15, 15)), -1) - 7
    away = np.linalg.norm(places, axis=-1)
    mask = (away >= 3) & (away <= 6)
    suv = np.where(mask, 4.5, 1).astype(np.float32)
    options = PostprocessOptions(min_component_suv_max=5, honour_clicks=True, grow_ml=0)
    for click, left in (([7, 7, 7], mask), ([0, 0, 0], mask & False)):
        kept = post_process(mask, suv, AFFINE, options, clicks=Clicks([click], [])).mask
        kept[tuple(click)] = False  # the voxel that was clicked is lesion in any case
        np.testing.assert_array_equal(kept, left)


@pytest.mark.parametrize(("tumor", "left"), [(0, (0, 64, 64)), (1, (0, 64, 64)), (2, (0, 64, 0)), (3, (0, 64, 0))])
def test_limits_of_components_that_hold_from_the_second_tumour_click_on(tumor, left):
    mask, suv = study()
    options = PostprocessOptions(min_component_suv_max=5, component_limits_after_click=2)
    for points in ([[6, 4, 4]], [[6, 4, 4], [6, 4, 5]]):  # clicks or scribbles
        clicks = Clicks.from_interactions(
            [Interaction("background", [[15, 0, 0]])] * 2 + [Interaction("tumor", points)] * tumor
        )
        assert parts(post_process(mask, suv, AFFINE, options, clicks=clicks).mask) == left


def test_dropped_and_clicked_are_told_apart_by_component():
    mask, suv = study()
    final = post_process(mask, suv, AFFINE, PostprocessOptions(honour_clicks=True), clicks=Clicks([], [[6, 4, 4]]))
    assert parts(final.mask) == (0, 0, 64)
    assert final.record["removed"] == [{"click": [6, 4, 4], "ml": pytest.approx(64 * 0.02)}]


@pytest.mark.parametrize(("limit_ml", "left"), [(2.56, 128), (2.57, 0)])
def test_a_small_prediction_is_emptied_while_no_tumour_is_clicked(limit_ml, left):
    mask, suv = study()
    options = PostprocessOptions(min_unclicked_ml=limit_ml)
    final = post_process(mask, suv, AFFINE, options, clicks=Clicks([], [[15, 0, 0]]))
    assert final.mask.sum() == left
    assert final.record == {"emptied_ml": 0 if left else pytest.approx(2.56)}
    final = post_process(mask, suv, AFFINE, options, clicks=Clicks([[15, 0, 0]], []))
    assert final.mask.sum() == 128
    assert final.record == {"emptied_ml": 0}


def test_clicks_that_are_missing_are_refused():
    mask, suv = study()
    after_click = PostprocessOptions(min_component_suv_max=5, component_limits_after_click=1)
    for options in (PostprocessOptions(honour_clicks=True), PostprocessOptions(min_unclicked_ml=1), after_click):
        with pytest.raises(InputError, match="post-processing needs the clicks of the study; give them, or leave out"):
            post_process(mask, suv, AFFINE, options)


def written(folder, clicks):
    """The study's files in `folder`: raw mask, SUV, clicks, probabilities."""
    mask, suv = study()
    write_image(folder / "raw.nii.gz", mask, AFFINE)
    write_image(folder / "suv.nii.gz", suv, AFFINE)
    write_clicks(folder / "clicks.json", clicks)
    np.save(folder / "probability.npy", np.array([0.9, 0.9, 0.7], np.float32))
    return {"suv": folder / "suv.nii.gz", "clicks": folder / "clicks.json"}


def test_the_script_honours_clicks_and_keeps_a_record(tmp_path):
    files = written(tmp_path, Clicks([[0, 0, 1]], [[6, 4, 4]]))
    run_script(
        "post_process_case",
        input={**files, "mask": tmp_path / "raw.nii.gz", "component_probability": tmp_path / "probability.npy"},
        output={"mask": tmp_path / "lesions.nii.gz", "record": tmp_path / "postprocess.json"},
        log=tmp_path / "log",
        params={"postprocess": {"honour_clicks": True, "min_component_probability": 0.8}},
    )
    assert parts(read_image(tmp_path / "lesions.nii.gz").array) == (3, 0, 0)
    record = json.loads((tmp_path / "postprocess.json").read_text())
    assert [one["click"] for one in record["removed"]] == [[6, 4, 4]]


def test_a_step_of_the_interactive_evaluation_honours_its_own_clicks(tmp_path):
    files = written(tmp_path, Clicks([[0, 0, 1], [14, 8, 8]], [[6, 4, 4], [21, 4, 4]]))
    mask, _ = study()
    write_image(tmp_path / "truth.nii.gz", mask, AFFINE)
    (tmp_path / "tracer.json").write_text('{"tracer": "fdg"}')
    steps = [0, 1, 2]
    row = {"case": "a", "slug": "a", "tracer": "fdg", "patient": "a", "centre": "", "split": "test"}
    run_script(
        "score_interactive",
        input={
            **files,
            "masks": [tmp_path / "raw.nii.gz"] * 3,
            "truth": tmp_path / "truth.nii.gz",
            "tracer_json": tmp_path / "tracer.json",
        },
        output={
            name: [tmp_path / f"{name}_{step}{suffix}" for step in steps]
            for name, suffix in (("masks", ".nii.gz"), ("scores", ".json"), ("records", ".record.json"))
        },
        log=tmp_path / "log",
        params={"row": row, "steps": steps, "postprocess": {"honour_clicks": True, "grow_ml": 0}},
    )
    left = [read_image(tmp_path / f"masks_{step}.nii.gz").array for step in steps]
    assert [parts(mask) for mask in left] == [(0, 64, 64), (3, 0, 64), (3, 0, 0)]
    assert [mask[14, 8, 8] for mask in left] == [0, 0, 1]
    records = [json.loads((tmp_path / f"records_{step}.record.json").read_text()) for step in steps]
    assert [len(record["removed"]) for record in records] == [0, 1, 2]
    assert [len(record["grown"]) for record in records] == [0, 0, 1]
