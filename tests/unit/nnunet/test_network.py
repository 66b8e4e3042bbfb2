import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import nn

from clickpet.nnunet.network import DualHeadResidualEncoderUNet

KWARGS = {
    "input_channels": 3,
    "n_stages": 3,
    "features_per_stage": [4, 8, 8],
    "conv_op": nn.Conv3d,
    "kernel_sizes": [[3, 3, 3]] * 3,
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    "n_blocks_per_stage": [1, 1, 1],
    "num_classes": 2,
    "n_conv_per_stage_decoder": [1, 1],
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
}


def test_lesions_and_organs_in_training_lesions_only_in_evaluation():
    torch.manual_seed(0)
    network = DualHeadResidualEncoderUNet(**KWARGS, organ_classes=15, deep_supervision=True)
    image = torch.randn(2, 3, 8, 8, 8)
    fine, coarse = network.train()(image)
    assert fine.shape == (2, 17, 8, 8, 8)
    assert coarse.shape == (2, 17, 4, 4, 4)
    with torch.no_grad():
        assert network.eval()(image)[0].shape == (2, 2, 8, 8, 8)
        network.decoder.deep_supervision = False
        torch.testing.assert_close(network(image), fine[:, :2])


def test_without_the_organ_head_it_is_nnunets_network_bit_for_bit():
    torch.manual_seed(0)
    dual = DualHeadResidualEncoderUNet(**KWARGS, organ_classes=15, deep_supervision=False).eval()
    weights = {name: tensor for name, tensor in dual.state_dict().items() if "organ_seg_layers" not in name}
    assert {name for name in dual.state_dict() if "organ" in name} == {
        f"decoder.organ_seg_layers.{level}.{part}" for level in (0, 1) for part in ("weight", "bias")
    }
    plain = ResidualEncoderUNet(**KWARGS, deep_supervision=False).eval()
    plain.load_state_dict(weights, strict=True)
    image = torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(plain(image), dual(image))
