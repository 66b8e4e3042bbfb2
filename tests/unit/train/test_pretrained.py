"""Starts from given weights: what is copied, which stem, and what is refused."""

import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from tiny_models import dataset, plans
from torch import nn

from clickpet.errors import InputError
from clickpet.nnunet.network import DualHeadResidualEncoderUNet
from clickpet.nnunet.plans import CHANNELS, with_normalisation
from clickpet.train.pretrained import normalisation_constants, start_from

KWARGS = {
    "n_stages": 2, "features_per_stage": [4, 8], "conv_op": nn.Conv3d, "kernel_sizes": [[3, 3, 3]] * 2,
    "strides": [[1, 1, 1], [2, 2, 2]], "n_blocks_per_stage": [1, 1], "num_classes": 2,
    "n_conv_per_stage_decoder": [1], "conv_bias": True, "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True},
}  # fmt: skip


def network(channels: int = 3, seed: int = 0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    made = DualHeadResidualEncoderUNet(input_channels=channels, organ_classes=5, **KWARGS | changes)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def weights(**options) -> dict:
    """A pretrained model of two channels as nnU-Net saves it, under all its names."""
    torch.manual_seed(1)
    made = ResidualEncoderUNet(input_channels=2, **KWARGS | options)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return dict(made.state_dict())


def save(path, tensors, **more):
    torch.save({"network_weights": tensors, **more}, path)
    return path


def stem(module: nn.Module) -> torch.Tensor:
    return module.encoder.stem.convs[0].conv.weight


def several_stems(tensors: dict, pattern: str, names) -> dict:
    """The same weights, with a stem for each of `names`, scaled by its place."""
    others = {name: tensor for name, tensor in tensors.items() if ".stem." not in f".{name}"}
    for place, stem_name in enumerate(names, start=1):
        for name, tensor in tensors.items():
            if "encoder.stem." in name:
                others[name.replace("encoder.stem.", pattern.format(stem_name))] = place * tensor
    return others


def test_tensors_are_copied_the_stem_is_widened_with_zeros_and_heads_stay_new(tmp_path):
    given, ours = weights(), network()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    log = start_from(ours, save(tmp_path / "w.pth", {f"module.{k}": v for k, v in given.items()}))
    assert torch.equal(stem(ours)[:, :2], given["encoder.stem.convs.0.conv.weight"])
    assert stem(ours)[:, 2].abs().max() == 0
    name = "decoder.stages.0.convs.0.conv.weight"
    assert torch.equal(ours.state_dict()[name], given[name])
    for head in ("decoder.seg_layers.0.weight", "decoder.organ_seg_layers.0.weight"):
        assert torch.equal(ours.state_dict()[head], before[head])
    assert log[0].endswith("1 widened, 4 new, 2 skipped")
    image = torch.randn(1, 3, 4, 4, 4)
    plain = ResidualEncoderUNet(input_channels=2, **KWARGS)
    plain.load_state_dict(given)
    torch.testing.assert_close(ours.encoder(image)[0], plain.encoder(image[:, :2])[0])


@pytest.mark.parametrize("pattern", ["encoder.stem.{}.", "encoder.stem{}."])
def test_the_only_named_stem_is_taken(tmp_path, pattern):
    given, ours = weights(), network()
    start_from(ours, save(tmp_path / "w.pth", several_stems(given, pattern, ["221"])))
    assert torch.equal(stem(ours)[:, :2], given["encoder.stem.convs.0.conv.weight"])


@pytest.mark.parametrize("pattern", ["encoder.stem.{}.", "encoder.stem{}."])
def test_one_of_several_stems_is_taken_by_name(tmp_path, pattern):
    given, ours = weights(), network()
    checkpoint = save(tmp_path / "w.pth", several_stems(given, pattern, ["ct", "221", "mr"]))
    with pytest.raises(InputError, match=r"has the stems 221, ct, mr; name one as train\.pretrained_stem"):
        start_from(network(), checkpoint)
    with pytest.raises(InputError, match="has no stem 'pet', only 221, ct, mr"):
        start_from(network(), checkpoint, stem="pet")
    start_from(ours, checkpoint, stem="221")
    assert torch.equal(stem(ours)[:, :2], 2 * given["encoder.stem.convs.0.conv.weight"])


def test_a_name_for_a_stem_without_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="has one stem without a name"):
        start_from(network(), save(tmp_path / "w.pth", weights()), stem="221")


@pytest.mark.parametrize("kept", [lambda name: ".stem." not in name, lambda name: False])
def test_a_start_without_stem_is_refused(tmp_path, kept):
    tensors = {name: tensor for name, tensor in weights().items() if kept(name)} or {"x": torch.zeros(1)}
    with pytest.raises(InputError, match="no tensor of this checkpoint fits the "):
        start_from(network(), save(tmp_path / "w.pth", tensors))


def test_a_stem_of_another_size_is_refused(tmp_path):
    tensors = weights()
    for name, tensor in tensors.items():
        if ".stem." in name and tensor.ndim == 5:
            tensors[name] = torch.zeros(9, 2, 3, 3, 3)
    with pytest.raises(InputError, match=r"fits the first layers \(the stem\)"):
        start_from(network(), save(tmp_path / "w.pth", tensors))


def test_the_lesion_head_is_copied_where_asked_for(tmp_path):
    given, ours = weights(), network()
    start_from(ours, save(tmp_path / "w.pth", given), lesion_head=True)
    for name in ("decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"):
        assert torch.equal(ours.state_dict()[name], given[name])
    with pytest.raises(InputError, match="fits the lesion head"):
        start_from(network(), save(tmp_path / "other.pth", weights(num_classes=7)), lesion_head=True)


def test_normalisation_constants_come_from_the_checkpoints_plans(tmp_path):
    theirs = plans()
    checkpoint = save(tmp_path / "w.pth", weights(), init_args={"plans": theirs, "dataset_json": dataset()})
    constants = normalisation_constants(checkpoint, {index: kind for index, kind in CHANNELS.items() if kind == "CT"})
    statistics = theirs["foreground_intensity_properties_per_channel"]
    assert constants == {"0": statistics["0"], "1": statistics["1"]}
    own = {
        "a": 1,
        "foreground_intensity_properties_per_channel": {"0": {"mean": 0}, "1": {"mean": 0}, "2": {"mean": 3}},
    }
    taken = with_normalisation(own, constants)
    assert taken["foreground_intensity_properties_per_channel"] == {**constants, "2": {"mean": 3}}
    assert own["foreground_intensity_properties_per_channel"]["0"] == {"mean": 0}
    assert taken["a"] == 1


@pytest.mark.parametrize(
    ("init_args", "message"),
    [
        ({}, "does not say how its model normalises"),
        ({"plans": {"configurations": {}}}, "does not say how its model normalises"),
        ({"plans": plans()}, "normalises channel 1 in another way"),
    ],
)
def test_constants_that_cannot_be_taken_are_refused(tmp_path, init_args, message):
    if "another" in message:
        init_args["plans"]["configurations"]["3d_fullres"]["normalization_schemes"][1] = "ZScoreNormalization"
    checkpoint = save(tmp_path / "w.pth", weights(), init_args=init_args)
    with pytest.raises(InputError, match=message):
        normalisation_constants(checkpoint, {"0": "CT", "1": "CT"})
