"""TotalSegmentator's models behind our driver: tables by name, weights, and the label maps of its own API."""

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from organ_stand_in import write_stand_in

from clickpet.errors import InputError
from clickpet.images import Image, read_image, resample
from clickpet.organs.labels import ORGAN_CLASSES
from clickpet.organs.totalsegmentator import (
    CHECKPOINT,
    TASKS,
    OrganSegmenter,
    _predict_in_parts,
    find_task,
    needed_models,
    require_weights,
    weights_folder,
)
from clickpet.weights_lock import LOCK, file_digest

WANTED = {name for names in ORGAN_CLASSES.values() for name in names}

#: TotalSegmentator's own Python API on one CT, in a process of its own: it sets up nnU-Net when it is imported.
API = """
import sys
if __name__ == "__main__":
    import numpy as np
    from totalsegmentator.python_api import totalsegmentator
    ct, task, fast, out = sys.argv[1:]
    found = totalsegmentator(ct, None, task=task, fast=fast == "fast", device="cpu", quiet=True, nr_thr_saving=1)
    np.save(out, np.asanyarray(found.dataobj))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights folder as TotalSegmentator keeps it, with stand-ins of every model of both tasks."""
    home = tmp_path_factory.mktemp("totalsegmentator")
    for fast in (True, False):
        for model in needed_models([find_task(name, fast=fast) for name in TASKS]):
            if not model.path(home / "nnunet" / "results").exists():
                favour = "skull" if model.task_id == 298 else None
                write_stand_in(model, home / "nnunet" / "results", seed=model.task_id, favour=favour)
    # what it writes on its first run; without statistics nothing is sent
    settings = {"totalseg_id": "test", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps({**settings, "statistics_disclaimer_shown": True}))
    return home


@pytest.fixture(scope="module")
def real_ct(tmp_path_factory, shared_data):
    """A small piece of a real CT (20 x 18 x 14 voxels of 3 mm), turned to LAS, as a file."""
    whole = nib.load(shared_data / "totalseg" / "example_ct_sm.nii.gz")
    piece = whole.slicer[40:60, 34:52, 6:20].slicer[::-1]
    path = tmp_path_factory.mktemp("ct") / "ct.nii.gz"
    nib.save(piece, path)
    return path


def by_api(ct, task, weights, out, *, fast):
    environment = {**os.environ, "TOTALSEG_HOME_DIR": str(weights), "nnUNet_def_n_proc": "1"}
    environment.pop("TOTALSEG_WEIGHTS_PATH", None)
    script = out.parent / "api.py"
    script.write_text(API)
    arguments = [sys.executable, str(script), str(ct), task, "fast" if fast else "full", str(out)]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return np.load(out)


@pytest.mark.parametrize(
    ("task", "fast"),
    [
        ("total", True),  # one model at 3 mm
        pytest.param("total", False, marks=pytest.mark.slow),  # five models at 1.5 mm
        pytest.param("head_glands_cavities", False, marks=pytest.mark.slow),  # `total` at 6 mm, crop, 0.75 mm
    ],
)
def test_the_label_maps_are_those_of_totalsegmentators_api(real_ct, weights, tmp_path, task, fast):
    """End to end through its own code on a real CT."""
    organs = {"glands": ["parotid_gland_left"]} if task == "head_glands_cavities" else _others()
    segmenter = OrganSegmenter(tasks=[task], organs=organs, fast=fast, weights=weights, device="cpu")
    [(ours, names)] = segmenter.label_maps(read_image(real_ct, np.float32))
    theirs = by_api(real_ct, task, weights, tmp_path / "theirs.npy", fast=fast)
    assert len(np.unique(theirs)) > 4  # the stand-in says something
    assert np.mean(theirs > 0) > 0.05
    np.testing.assert_array_equal(ours, theirs)
    assert names[7] == {"total": "pancreas", "head_glands_cavities": "parotid_gland_left"}[task]


def _others():
    """Organs of the body, so that no model of `total` is left out."""
    glands = ("parotid_glands", "submandibular_glands")
    return {organ: names for organ, names in ORGAN_CLASSES.items() if organ not in glands}


def test_organs_by_name_on_any_grid(weights):
    """A synthetic CT of three intensities: classes become our organs by name, models are loaded once."""
    rng = np.random.default_rng(0)
    ct = Image(rng.choice([-900, 40, 600], (20, 18, 12)).astype(np.float32), np.diag([-4.0, 4.0, 4.0, 1.0]))
    segmenter = OrganSegmenter(tasks=["total"], organs=_others(), fast=True, weights=weights, device="cpu")
    maps = list(segmenter.label_maps(ct))
    organs = segmenter.organ_map(ct)
    expected = np.zeros(ct.shape, np.uint8)
    number = {name: value for value, organ in enumerate(_others(), start=2) for name in ORGAN_CLASSES[organ]}
    for labels, names in maps:
        for label in np.unique(labels[labels > 0]):
            if names[label] in number:
                expected[labels == label] = number[names[label]]
    np.testing.assert_array_equal(organs, expected)
    assert organs.any()
    assert list(segmenter._predictors) == [297]  # loaded once
    pet_affine = np.diag([-5.0, 5.0, 6.0, 1.0])
    on_pet = segmenter.organ_map_on(ct, (15, 14, 8), pet_affine)
    nearest = resample(Image(organs, ct.affine), (15, 14, 8), pet_affine, order="nearest")
    np.testing.assert_array_equal(on_pet, nearest)
    np.testing.assert_array_equal(segmenter.organ_map_on(ct, ct.shape, ct.affine), organs)


def test_nothing_is_sent_or_written(weights, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network is not to be used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = sorted(str(path) for path in weights.rglob("*"))
    ct = Image(np.full((8, 8, 8), 40, np.float32), np.diag([6.0, 6.0, 6.0, 1.0]))
    OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=weights).organ_map(ct)
    assert sorted(str(path) for path in weights.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_ct_without_skull_has_no_head_glands(weights, monkeypatch):
    segmenter = OrganSegmenter(tasks=["head_glands_cavities"], organs={"glands": ["parotid_gland_left"]},
                               weights=weights)  # fmt: skip
    monkeypatch.setattr(segmenter, "_segment", lambda image, models, names: np.ones(image.shape, np.uint8))
    ct = Image(np.zeros((6, 6, 6), np.float32), np.eye(4))
    [(labels, _)] = segmenter.label_maps(ct)
    assert labels.shape == ct.shape
    assert not labels.any()


def test_tasks_are_those_of_totalsegmentators_tables():
    full, fast = find_task("total"), find_task("total", fast=True)
    assert [model.task_id for model in full.models] == [291, 292, 293, 294, 295]
    assert [model.task_id for model in fast.models] == [297]
    assert (full.models[0].spacing_mm, fast.models[0].spacing_mm) == ((1.5,) * 3, (3.0,) * 3)
    assert full.models[0].tile_step == 0.8
    glands = find_task("head_glands_cavities", fast=True)  # it has no fast models
    assert glands.models[0].spacing_mm == (0.75, 0.75, 1.0)
    assert (glands.crop_to, glands.crop_model.task_id, glands.crop_model.spacing_mm) == (("skull",), 298, (6.0,) * 3)
    assert dict(glands.names)[9] == "submandibular_gland_right"
    assert glands.models[0].url == (
        "https://github.com/wasserth/TotalSegmentator/releases/download/v2.3.0-weights/"
        "Dataset775_head_glands_cavities_492subj.zip"
    )
    assert [model.task_id for model in needed_models([full, glands])] == [291, 292, 293, 294, 295, 775, 298]


def test_models_that_know_no_wanted_class_are_left_out():
    assert [model.task_id for model in find_task("total", classes={"heart", "liver"}).models] == [291, 293]
    assert len(find_task("total", classes=WANTED).models) == 5


@pytest.mark.parametrize("name", ["totals", "total_mr", "tissue_types", "headneck_muscles", "lung_vessels"])
def test_tasks_that_are_not_supported(name):
    with pytest.raises(InputError, match=f"{name!r}"):
        find_task(name)


def test_where_weights_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.delenv("TOTALSEG_HOME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / ".totalsegmentator" / "nnunet" / "results"
    monkeypatch.setenv("TOTALSEG_HOME_DIR", "/w")
    assert str(weights_folder()) == "/w/nnunet/results"
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", "/v")
    assert str(weights_folder()) == "/v"
    assert weights_folder(tmp_path) == tmp_path
    (tmp_path / "nnunet" / "results").mkdir(parents=True)
    assert weights_folder(tmp_path) == tmp_path / "nnunet" / "results"
    assert not (tmp_path / ".totalsegmentator").exists()


def test_missing_weights_are_told_before_anything_is_loaded(tmp_path):
    with pytest.raises(
        InputError, match="weights are missing: Dataset297_TotalSegmentator_total_3mm_1559subj"
    ) as caught:
        OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=tmp_path)
    assert "run `clickpet fetch-weights organs` where there is internet" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_model_is_missing(weights, tmp_path):
    model = find_task("total", fast=True).models[0]
    write_stand_in(model, tmp_path)
    require_weights([model], tmp_path)
    (model.path(tmp_path) / "fold_0" / CHECKPOINT).unlink()
    with pytest.raises(InputError, match="weights are missing"):
        require_weights([model], tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "plans.json").write_text("{"), "plans.json: is not valid JSON"),
        (lambda folder: (folder / "plans.json").write_text("{}"), "is not a model of TotalSegmentator"),
        (lambda folder: (folder / "fold_0" / CHECKPOINT).write_bytes(b"PK"), r"pth: (refused|cannot)"),
        (lambda folder: torch.save({"network_weights": {"a": torch.zeros(1)}}, folder / "fold_0" / CHECKPOINT),
         "does not fit its plans"),
        (lambda folder: _drop_a_label(folder), "tells 116 classes apart, not the 117"),
    ],
)  # fmt: skip
def test_a_broken_model_is_one_clear_line(tmp_path, spoil, message):
    model = find_task("total", fast=True).models[0]
    spoil(write_stand_in(model, tmp_path))
    segmenter = OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=tmp_path)
    ct = Image(np.zeros((6, 6, 6), np.float32), np.eye(4))
    with pytest.raises(InputError, match=message) as caught:
        segmenter.organ_map(ct)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["class", "part", "part of torch.nn that is no network", "nested class"])
def test_plans_that_name_other_code_are_refused_and_nothing_runs(tmp_path, monkeypatch, place):
    marker = tmp_path / "ran"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "effects.py").write_text(f"open({str(marker)!r}, 'w')\nclass Net:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    model = find_task("total", fast=True).models[0]
    folder = write_stand_in(model, tmp_path)
    plans = json.loads((folder / "plans.json").read_text())
    sound = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    architecture = {
        "class": {"network_class_name": "effects.Net", "arch_kwargs": {}, "_kw_requires_import": []},
        "nested class": {"network_class_name": "torch.nn.os.system", "arch_kwargs": {}, "_kw_requires_import": []},
        "part": {
            "network_class_name": sound,
            "arch_kwargs": {"norm_op": "effects"},
            "_kw_requires_import": ["norm_op"],
        },
        "part of torch.nn that is no network": {
            "network_class_name": sound,
            "arch_kwargs": {"norm_op": "torch.nn.init.zeros_"},
            "_kw_requires_import": ["norm_op"],
        },
    }[place]
    for configuration in plans["configurations"].values():
        configuration["architecture"] = architecture
    (folder / "plans.json").write_text(json.dumps(plans))
    segmenter = OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=tmp_path)
    with pytest.raises(InputError, match=r"plans\.json: names '.*', which is no part of a network that is known here"):
        segmenter.organ_map(Image(np.zeros((6, 6, 6), np.float32), np.eye(4)))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", f"fold_0/{CHECKPOINT}"])
def test_weights_that_changed_since_they_were_fetched_are_not_loaded(tmp_path, name):
    model = find_task("total", fast=True).models[0]
    folder = write_stand_in(model, tmp_path)
    files = {path.relative_to(tmp_path).as_posix(): file_digest(path) for path in folder.rglob("*") if path.is_file()}
    (tmp_path / LOCK).write_text(json.dumps({model.folder: {"files": files}}))

    def segment():
        segmenter = OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=tmp_path)
        return segmenter.organ_map(Image(np.zeros((6, 6, 6), np.float32), np.eye(4)))

    assert segment().shape == (6, 6, 6)
    with open(folder / name, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(InputError, match=f"{name}: has changed since it was fetched; delete .* and fetch it again"):
        segment()


def _drop_a_label(folder):
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset["labels"].pop(max(dataset["labels"], key=dataset["labels"].get))
    (folder / "dataset.json").write_text(json.dumps(dataset))


def test_an_unknown_class_and_device(weights):
    with pytest.raises(InputError, match="have no class livr"):
        OrganSegmenter(organs={"liver": ["livr"]}, weights=weights)
    with pytest.raises(InputError, match="device 'tpu9' is not known"):
        OrganSegmenter(tasks=["total"], organs={"liver": ["liver"]}, fast=True, weights=weights, device="tpu9")


def test_very_large_volumes_in_three_parts(monkeypatch):
    """Parts overlap by the margin, and every voxel comes from a part that holds it."""

    class Echo:
        """A predictor whose label of a voxel is its own value; it notes what it was given."""

        def __init__(self):
            self.depths = []

        def predict_single_npy_array(self, image, properties):
            assert properties == {"spacing": [3.0, 2.0, 1.0]}
            self.depths.append(image.shape[1])
            return image[0]

    monkeypatch.setattr("clickpet.organs.totalsegmentator.PARTS_ABOVE_VOXELS", 1000)
    volume = np.broadcast_to(np.arange(211, dtype=np.int32), (3, 2, 211))
    echo = Echo()
    np.testing.assert_array_equal(_predict_in_parts(echo, volume, (1, 2, 3), True), volume)
    assert echo.depths == [90, 109, 90]
    np.testing.assert_array_equal(_predict_in_parts(echo, volume, (1, 2, 3), False), volume)
    np.testing.assert_array_equal(_predict_in_parts(echo, volume[..., :200], (1, 2, 3), True), volume[..., :200])
    assert echo.depths[3:] == [211, 200]
