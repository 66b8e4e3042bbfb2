"""clickpet.nnunet.model_folder: good, broken and hostile model folders."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from tiny_models import RESENC, checkpoint, dataset, plans, write_model

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import (
    build_network,
    load_checkpoint,
    load_network,
    mirroring_axes,
    network_weights,
    read_model_folder,
)

DUAL = "clickpet.nnunet.network.DualHeadResidualEncoderUNet"


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "fdg", folds=(0, "all"))


def test_read_model_folder(folder):
    model = read_model_folder(folder)
    assert model.patch_size == (16, 16, 16)
    assert model.n_channels == 3
    assert model.checkpoint("all") == folder / "fold_all" / "checkpoint_final.pth"


@pytest.mark.parametrize("fold", [0, "all"])
def test_load_network_gives_the_saved_weights(folder, fold):
    network = load_network(read_model_folder(folder), fold)
    saved = torch.load(folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    assert not network.training
    assert network.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())
    assert network(torch.zeros(1, 3, 16, 16, 16)).shape == (1, 2, 16, 16, 16)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["encoder.stem.convs.0.conv.weight", "decoder.seg_layers.0.bias"])
def test_weights_that_are_not_finite_are_refused(folder, value, name):
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    content["network_weights"][name].view(-1)[1] = value
    torch.save(content, path)
    with pytest.raises(InputError, match=rf"fold_0/checkpoint_final\.pth: its weights are not finite .*{name}"):
        load_network(read_model_folder(folder), 0)
    assert load_network(read_model_folder(folder), "all")


def test_dual_head_gives_lesion_logits_only(tmp_path):
    folder = write_model(tmp_path / "fdg", network=DUAL, organ_classes=5)
    network = load_network(read_model_folder(folder), 0)
    assert any(key.startswith("decoder.organ_seg_layers.") for key in network.state_dict())
    assert network(torch.zeros(1, 3, 16, 16, 16)).shape == (1, 2, 16, 16, 16)


@pytest.mark.parametrize("wrap", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapper_prefixes_are_dropped(wrap):
    tensor = torch.zeros(2)
    assert network_weights({"network_weights": {f"{wrap}encoder.a": tensor}}).keys() == {"encoder.a"}
    assert network_weights({f"{wrap}encoder.a": tensor}).keys() == {"encoder.a"}


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"network_weights": {}}, {"state_dict": {"a": 1}}])
def test_a_checkpoint_without_weights_is_refused(content):
    with pytest.raises(InputError, match="holds no network weights"):
        network_weights(content)


def test_numpy_scalars_of_the_training_log_are_read(tmp_path):
    path = tmp_path / "checkpoint.pth"
    kinds = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8)
    torch.save({"network_weights": {"a": torch.ones(3)}, "log": [kind(1) for kind in kinds]}, path)
    read = load_checkpoint(path)
    assert [type(value) for value in read["log"]] == list(kinds)
    assert torch.equal(read["network_weights"]["a"], torch.ones(3))


def test_files_of_old_torch_are_read(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"network_weights": {"a": torch.ones(3)}}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_checkpoint(path)["network_weights"]["a"], torch.ones(3))


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, form):
    marker, path = tmp_path / "ran", tmp_path / "checkpoint.pth"
    content = {"network_weights": {"a": torch.ones(3)}, "extra": Hostile(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"extra": Hostile(marker)}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match="refused: it holds more than tensors") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken", bytes(1000)])
def test_a_broken_checkpoint_is_one_line(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(folder):
    path = folder / "fold_0" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)


def test_a_missing_fold_is_named(folder):
    with pytest.raises(InputError, match=r"fold_3.*no such checkpoint; train or import this fold first"):
        load_network(read_model_folder(folder), 3)


def test_a_checkpoint_of_other_plans_is_refused(folder, tmp_path):
    other = write_model(tmp_path / "other", features=(6, 12))
    (other / "fold_0" / "checkpoint_final.pth").replace(folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(InputError, match="does not fit the plans beside it"):
        load_network(read_model_folder(folder), 0)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_broken_descriptions_are_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=name):
        read_model_folder(folder)


def test_more_labels_and_2d_are_refused(folder):
    (folder / "dataset.json").write_text(json.dumps({**dataset(), "labels": {"background": 0, "a": 1, "b": 2}}))
    with pytest.raises(InputError, match="3 labels in 3-D"):
        read_model_folder(folder)
    assert read_model_folder(folder, two_labels=False).n_channels == 3
    (folder / "plans.json").write_text(json.dumps({**plans(), "configurations": {}}))
    with pytest.raises(InputError, match="not a 3d_fullres model"):
        read_model_folder(folder)


@pytest.mark.parametrize(
    "part",
    [
        {"dropout_op": "subprocess.run", "dropout_op_kwargs": {"args": ["true"]}},
        {"norm_op": "torch.nn.modules.module.warnings.warn"},
        {"conv_op": "torch.nn.functional.conv3d"},
        {"nonlin": "os.system"},
    ],
)
def test_plans_may_name_network_parts_only(tmp_path, part):
    folder = write_model(tmp_path / "fdg")
    (folder / "plans.json").write_text(json.dumps(plans(**part)))
    with pytest.raises(InputError, match="no part of a network"):
        build_network(read_model_folder(folder))
    (folder / "plans.json").write_text(json.dumps(plans(network="subprocess.Popen")))
    with pytest.raises(InputError, match=r"'subprocess\.Popen'"):
        build_network(read_model_folder(folder))


def test_mirroring_axes():
    given = checkpoint({}, plans(network=RESENC), dataset())
    assert mirroring_axes(given) == (0, 1, 2)
    assert mirroring_axes({**given, "inference_allowed_mirroring_axes": (2,)}) == (2,)
    assert mirroring_axes({**given, "inference_allowed_mirroring_axes": None}) == ()
    assert mirroring_axes({}) == (0, 1, 2)
