"""nnU-Net's residual encoder U-Net with a second segmentation head for organs."""

from __future__ import annotations

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import nn


class DualHeadDecoder(UNetDecoder):
    """Decoder with an organ head beside the lesion head at every resolution.

    Parameters are those of UNetDecoder plus `organ_seg_layers.*`. In training mode each output holds
    the lesion channels followed by the organ channels; in evaluation mode the lesion channels only.
    """

    def __init__(self, encoder, num_classes, n_conv_per_stage, deep_supervision, organ_classes: int):
        super().__init__(encoder, num_classes, n_conv_per_stage, deep_supervision)
        self.organ_seg_layers = nn.ModuleList(
            encoder.conv_op(layer.in_channels, organ_classes, 1, 1, 0, bias=True) for layer in self.seg_layers
        )

    def forward(self, skips: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        features = skips[-1]
        outputs = []
        last = len(self.stages) - 1
        for level, (upsample, convolve) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            features = convolve(torch.cat((upsample(features), skips[-(level + 2)]), 1))
            if self.deep_supervision or level == last:
                output = self.seg_layers[level](features)
                if self.training:
                    output = torch.cat((output, self.organ_seg_layers[level](features)), 1)
                outputs.append(output)
        return outputs[::-1] if self.deep_supervision else outputs[0]


class DualHeadResidualEncoderUNet(ResidualEncoderUNet):
    """ResidualEncoderUNet with a lesion head and an organ head. Paper, section 2.2, "Additional Organs Supervision".

    organ_classes : channels of the organ head, background included; the rest as in ResidualEncoderUNet.
    forward : float (batch, channels, z, y, x) to logits (batch, num_classes + organ_classes, z, y, x) in
    training mode and (batch, num_classes, z, y, x) in evaluation mode; lists of them, finest first, with deep
    supervision. Without the keys `decoder.organ_seg_layers.*` the state dict is that of ResidualEncoderUNet.
    """

    def __init__(self, *args, organ_classes: int, **kwargs):
        super().__init__(*args, **kwargs)
        plain = self.decoder
        n_conv_per_stage = [len(stage.convs) for stage in plain.stages]
        self.decoder = DualHeadDecoder(
            self.encoder, plain.num_classes, n_conv_per_stage, plain.deep_supervision, organ_classes
        )
