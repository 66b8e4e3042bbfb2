"""clickpet.models.importing: released lesion models and tracer discriminators, whole, odd and hostile."""

import json

import pytest
import torch
from foreign_weights import Hostile, tracer_weights
from tiny_models import CHANNELS, checkpoint, with_previous_mask, write_model

from clickpet.errors import InputError
from clickpet.models.exporting import export_model
from clickpet.models.importing import fit_weights, import_lesion_model, import_pretrained, import_tracer_models
from clickpet.nnunet.model_folder import build_network, load_network, read_model_folder
from clickpet.tracer.network import load_discriminator

DUAL = "clickpet.nnunet.network.DualHeadResidualEncoderUNet"
INPUT = torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def released(tmp_path):
    """As other people's trainers leave it: own class names, another configuration, a wrapped network."""
    folder = write_model(tmp_path / "released", folds=(0, 1), network=DUAL, organ_classes=5)
    plans = json.loads((folder / "plans.json").read_text())
    configurations = plans["configurations"]
    configurations["3d_fullres"]["architecture"]["network_class_name"] = "theirs.nets.DualResidualEncoderUNet"
    configurations["3d_fullres"]["architecture"]["arch_kwargs"]["n_organs"] = 5
    del configurations["3d_fullres"]["architecture"]["arch_kwargs"]["organ_classes"]
    configurations["3d_big"] = {"inherits_from": "3d_fullres", "batch_size": 3}
    (folder / "plans.json").write_text(json.dumps(plans))
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset["labels"] = {"background": 0, "lesion": 1, **{f"organ_{value}": value for value in range(2, 6)}}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for fold in (0, 1):
        rewrite(folder, fold, lambda weights: {f"_orig_mod.{key}": value for key, value in weights.items()})
    return folder


def rewrite(folder, fold, change, **more):
    path = folder / f"fold_{fold}" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    content["network_weights"] = change(content["network_weights"])
    content["init_args"]["configuration"] = "3d_big"
    torch.save({**content, **more}, path)


def weights_of(folder, fold=0):
    return torch.load(folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)["network_weights"]


def test_dual_head_model_is_imported_whole(released, tmp_path):
    report = import_lesion_model(released, tmp_path / "fdg", folds=(0, 1))
    model = read_model_folder(tmp_path / "fdg")
    assert model.configuration.batch_size == 3
    assert model.dataset["labels"] == {"background": 0, "lesion": 1}
    assert report["network"] == DUAL
    assert report["folds"]["0"]["skipped"] == []
    assert "decoder.organ_seg_layers.0.weight" in report["folds"]["1"]["copied"]
    for fold in (0, 1):
        theirs = {key.removeprefix("_orig_mod."): value for key, value in weights_of(released, fold).items()}
        ours = load_network(model, fold).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("kept", "copied"),
    [
        (lambda key: ".all_modules." not in key and not key.startswith("decoder.encoder."), "conv"),
        (lambda key: not key.startswith("encoder."), "decoder.encoder"),
        (lambda key: ".conv." not in key and ".norm." not in key, "all_modules"),
    ],
)
def test_one_name_of_each_tensor_is_enough(released, tmp_path, kept, copied):
    def strip(weights):
        return {key: value for key, value in weights.items() if kept(key.removeprefix("_orig_mod."))}

    whole = {key.removeprefix("_orig_mod."): value for key, value in weights_of(released).items()}
    rewrite(released, 0, strip)
    assert len(weights_of(released)) < len(whole)
    import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    ours = weights_of(tmp_path / "fdg")
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[key], whole[key]) for key in ours)


def test_model_without_organ_head_becomes_a_plain_one(released, tmp_path):
    rewrite(released, 0, lambda weights: {key: value for key, value in weights.items() if "organ" not in key})
    report = import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    assert report["network"].endswith("unet.ResidualEncoderUNet")
    assert load_network(read_model_folder(tmp_path / "fdg"), 0)(INPUT).shape == (1, 2, 16, 16, 16)


def test_best_checkpoint_where_there_is_no_final_one(released, tmp_path):
    fold = released / "fold_0"
    (fold / "checkpoint_final.pth").rename(fold / "checkpoint_best.pth")
    report = import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    assert report["folds"]["0"]["file"] == "checkpoint_best.pth"


def test_what_is_of_no_use_is_reported(released, tmp_path):
    rewrite(released, 0, lambda weights: {**weights, "_orig_mod.decoder.other_head.weight": torch.ones(3)})
    report = import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    assert report["folds"]["0"]["skipped"] == ["decoder.other_head.weight"]


def test_mirroring_axes_are_kept(released, tmp_path):
    rewrite(released, 0, dict, inference_allowed_mirroring_axes=(1, 2))
    import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    path = tmp_path / "fdg" / "fold_0" / "checkpoint_final.pth"
    assert torch.load(path, weights_only=True)["inference_allowed_mirroring_axes"] == (1, 2)


def cut(weights):
    return {key: value for key, value in weights.items() if "transpconvs" not in key}


def spoil(value):
    def change(weights):
        weights = {key: tensor.clone() for key, tensor in weights.items()}
        next(tensor for key, tensor in weights.items() if "transpconvs.0.weight" in key)[0, 0, 0, 0, 0] = value
        return weights

    return change


def widen(weights):
    return {key: torch.cat([value, value]) if "decoder.seg_layers" in key else value for key, value in weights.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(float("nan")), r"fold_1.*: its weights are not finite \(NaN or infinite in .*transpconvs\.0\.weight"),
        (spoil(float("inf")), r"fold_1.*: its weights are not finite \(NaN or infinite in .*transpconvs\.0\.weight"),
        (cut, r"fold_1.*lacks decoder\.transpconvs\.0\.weight, decoder\.transpconvs\.0\.bias"),
        (widen, r"fold_1.*differs in shape: decoder\.seg_layers\.0\.weight \(4, 4, 1, 1, 1\) instead of \(2, 4, 1"),
    ],
)
def test_a_wrong_fold_stops_all_and_writes_nothing(released, tmp_path, change, message):
    rewrite(released, 1, change)
    with pytest.raises(InputError, match=message) as caught:
        import_lesion_model(released, tmp_path / "fdg", folds=(0, 1))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "fdg").exists()


def test_missing_folds_and_folders(released, tmp_path):
    with pytest.raises(InputError, match="fold 4 has no checkpoint_final"):
        import_lesion_model(released, tmp_path / "fdg", folds=(0, 4))
    with pytest.raises(InputError, match="no folds to import"):
        import_lesion_model(released, tmp_path / "fdg", folds=())
    with pytest.raises(InputError, match="fold 0 has no"):
        import_lesion_model(tmp_path / "nowhere", tmp_path / "fdg", folds=(0,))


def test_two_channel_models_are_pointed_to_the_pretrained_start(tmp_path):
    released = write_model(tmp_path / "released", channels={"0": "CT", "1": "CT"})
    with pytest.raises(InputError, match=r"takes 2 channels, not CT, PET and clicks; .*train\.pretrained"):
        import_lesion_model(released, tmp_path / "fdg", folds=(0,))


def test_a_fourth_channel_must_be_the_mask_of_the_round_before(tmp_path):
    four = write_model(tmp_path / "four", channels={**CHANNELS, "3": "noNorm"}, scale=3)
    with pytest.raises(InputError, match="takes 4 channels"):
        import_lesion_model(four, tmp_path / "fdg", folds=(0,))
    import_lesion_model(with_previous_mask(four), tmp_path / "fdg", folds=(0,))
    imported = read_model_folder(tmp_path / "fdg")
    assert imported.previous_mask
    assert imported.n_channels == 4
    export_model(tmp_path / "fdg", tmp_path / "plain", folds=(0,))
    assert read_model_folder(tmp_path / "plain").previous_mask
    image = torch.randn(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        networks = [load_network(read_model_folder(tmp_path / name), 0) for name in ("four", "fdg", "plain")]
        first, *others = (network(image) for network in networks)
    assert all(torch.equal(first, other) for other in others)


def test_another_architecture_is_refused(released, tmp_path):
    plans = json.loads((released / "plans.json").read_text())
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    (released / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(InputError, match="PlainConvUNet, not a ResidualEncoderUNet"):
        import_lesion_model(released, tmp_path / "fdg", folds=(0,))


def test_hostile_files_are_refused(released, tmp_path):
    rewrite(released, 1, dict, extra=Hostile(tmp_path / "ran"))
    with pytest.raises(InputError, match="refused: it holds more than tensors"):
        import_lesion_model(released, tmp_path / "fdg", folds=(0, 1))
    path = tmp_path / "tracer.pth"
    torch.save({"conv1.weight": Hostile(tmp_path / "ran")}, path)
    with pytest.raises(InputError, match="refused: it holds more than tensors"):
        import_tracer_models({0: path}, tmp_path / "tracer")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "fdg").exists()


def test_fit_weights_of_a_network_on_the_meta_device(tmp_path):
    model = read_model_folder(write_model(tmp_path / "fdg"))
    given = weights_of(tmp_path / "fdg")
    state, keys = fit_weights(build_network(model, device="meta"), given)
    assert list(state) == list(given)
    assert len(keys["copied"]) == len({value.data_ptr() for value in given.values()})
    assert keys["skipped"] == []


@pytest.mark.parametrize("form", ["bare", "wrapped", "named", "half"])
def test_tracer_discriminators(tmp_path, form):
    weights = tracer_weights()
    content = {
        "bare": weights,
        "wrapped": {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in weights.items()}},
        "named": {f"model.{key}": value for key, value in weights.items()},
        "half": {key: value.half() for key, value in weights.items()},
    }[form]
    torch.save(content, tmp_path / "best.pt")
    report = import_tracer_models({2: tmp_path / "best.pt"}, tmp_path / "tracer")
    assert report["folds"]["2"]["file"] == "best.pt"
    ours = torch.load(tmp_path / "tracer" / "fold_2" / "checkpoint.pth", weights_only=True)
    assert list(ours) == list(weights)
    assert all(torch.allclose(ours[key], weights[key], atol=1e-3) and ours[key].dtype == torch.float32 for key in ours)


def test_no_tracer_discriminator(tmp_path):
    weights = tracer_weights()
    torch.save({**weights, "fc1.weight": torch.ones(128, 512)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt: is no tracer discriminator: fc1\.weight of another shape"):
        import_tracer_models({0: tmp_path / "a.pt"}, tmp_path / "tracer")
    del weights["conv6.bias"]
    torch.save(weights, tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"conv6\.bias missing"):
        import_tracer_models({0: tmp_path / "b.pt"}, tmp_path / "tracer")
    assert not (tmp_path / "tracer").exists()


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_a_tracer_discriminator_that_is_not_finite(tmp_path, value):
    weights = tracer_weights()
    weights["fc3.bias"][2] = value
    torch.save(weights, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt: its weights are not finite \(NaN or infinite in fc3\.bias of 22\)"):
        import_tracer_models({0: tmp_path / "a.pt"}, tmp_path / "tracer")
    with pytest.raises(InputError, match=r"not finite"):
        load_discriminator(tmp_path / "a.pt")
    assert not (tmp_path / "tracer").exists()


def test_a_pretrained_start_that_is_not_finite(tmp_path):
    folder = write_model(tmp_path / "ct_pet", channels={"0": "CT", "1": "CT"})
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save({**content, "network_weights": spoil(float("nan"))(content["network_weights"])}, path)
    with pytest.raises(InputError, match="not finite"):
        import_pretrained(path, tmp_path / "pretrained.pth")
    assert not (tmp_path / "pretrained.pth").exists()


def test_a_bare_state_dict_is_a_lesion_model_too(tmp_path):
    released = write_model(tmp_path / "released")
    path = released / "fold_0" / "checkpoint_final.pth"
    torch.save(weights_of(released), path)
    import_lesion_model(released, tmp_path / "fdg", folds=(0,))
    assert torch.equal(load_network(read_model_folder(tmp_path / "fdg"), 0)(INPUT), network_of(released)(INPUT))


def network_of(folder):
    network = build_network(read_model_folder(folder))
    network.load_state_dict(torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True))
    return network.eval()


def test_checkpoints_of_the_tests_are_like_nnunets():
    assert {"network_weights", "init_args", "trainer_name"} <= set(checkpoint({}, {}, {}))
