"""Loss of the lesion models: Dice + cross-entropy of both heads."""

from __future__ import annotations

import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

LESION_CHANNELS = 2


class LesionAndOrganLoss(nn.Module):
    """Dice + cross-entropy of the lesion head plus the same of the organ head, Dice without smoothing.

    net_output : (batch, 2 + organ classes, z, y, x) logits, or (batch, 2, z, y, x) when the organ head is off;
    target : (batch, 2, z, y, x) with lesion (0, 1) and organ (0, 2, 3, ...) labels, or (batch, 1, ...).
    compiled : the Dice by torch.compile, as nnU-Net does where it compiles (its copies of the volume are not stored).
    """

    def __init__(self, *, batch_dice: bool, ddp: bool, organ_weight: float, compiled: bool = False):
        super().__init__()
        self.lesion = _dice_and_cross_entropy(batch_dice, ddp, compiled)
        self.organ = _dice_and_cross_entropy(batch_dice, ddp, compiled)
        self.organ_weight = organ_weight

    def forward(self, net_output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = self.lesion(net_output[:, :LESION_CHANNELS], target[:, :1])
        if net_output.shape[1] > LESION_CHANNELS:
            # label 1 is never an organ (nnU-Net samples lesion patches by value), so organ n is class n - 1
            organs = (target[:, 1:2] - 1).clamp(min=0)
            loss = loss + self.organ_weight * self.organ(net_output[:, LESION_CHANNELS:], organs)
        return loss


def _dice_and_cross_entropy(batch_dice: bool, ddp: bool, compiled: bool) -> DC_and_CE_loss:
    dice = {"batch_dice": batch_dice, "smooth": 0, "do_bg": False, "ddp": ddp}
    loss = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)
    if compiled:
        loss.dc = torch.compile(loss.dc)
    return loss
