"""Loss of the lesion models: Dice + cross-entropy of both heads."""

from __future__ import annotations

import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

LESION_CHANNELS = 2
#: Share of a patch's voxels at which the loss of a patch without lesion is one half.
LESION_FREE_HALF = 1e-5


class LesionAndOrganLoss(nn.Module):
    """Dice + cross-entropy of the lesion head plus the same of the organ head, Dice without smoothing.

    net_output : (batch, 2 + organ classes, z, y, x) logits, or (batch, 2, z, y, x) when the organ head is off;
    target : (batch, 2, z, y, x) with lesion (0, 1) and organ (0, 2, 3, ...) labels, or (batch, 1, ...).
    lesion_free_weight : of a third term, `lesion_free_loss` of the lesion head (0: without).
    compiled : the Dice by torch.compile, as nnU-Net does where it compiles (its copies of the volume are not stored).
    """

    def __init__(
        self,
        *,
        batch_dice: bool,
        ddp: bool,
        organ_weight: float,
        lesion_free_weight: float = 0.0,
        compiled: bool = False,
    ):
        super().__init__()
        self.lesion = _dice_and_cross_entropy(batch_dice, ddp, compiled)
        self.organ = _dice_and_cross_entropy(batch_dice, ddp, compiled)
        self.organ_weight = organ_weight
        self.lesion_free_weight = lesion_free_weight

    def forward(self, net_output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = self.lesion(net_output[:, :LESION_CHANNELS], target[:, :1])
        if net_output.shape[1] > LESION_CHANNELS:
            # label 1 is never an organ (nnU-Net samples lesion patches by value), so organ n is class n - 1
            organs = (target[:, 1:2] - 1).clamp(min=0)
            loss = loss + self.organ_weight * self.organ(net_output[:, LESION_CHANNELS:], organs)
        if self.lesion_free_weight:
            free = lesion_free_loss(net_output[:, :LESION_CHANNELS], target[:, 0])
            loss = loss + self.lesion_free_weight * free
        return loss


def lesion_free_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """How much lesion is seen in patches that hold none: mean over the batch of S / (S + s), 0 for patches with lesion.

    logits : (batch, 2, z, y, x);  truth : (batch, z, y, x), lesion where above 0.  S is the sum of the lesion's
    probability over the patch, s a hundred thousandth of the patch's voxels, at least one. The Dice without smoothing
    has no gradient where neither the batch (batch Dice) nor the patch holds a lesion, and the cross-entropy of a few
    voxels is lost in the mean over all.
    """
    free = truth.flatten(1).amax(1) <= 0
    if not free.any():
        return logits.new_zeros(())
    seen = logits[free].float().softmax(1)[:, 1].flatten(1).sum(1)
    half_voxels = max(1.0, LESION_FREE_HALF * truth[0].numel())
    return (seen / (seen + half_voxels)).sum() / len(truth)


def _dice_and_cross_entropy(batch_dice: bool, ddp: bool, compiled: bool) -> DC_and_CE_loss:
    dice = {"batch_dice": batch_dice, "smooth": 0, "do_bg": False, "ddp": ddp}
    loss = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)
    if compiled:
        loss.dc = torch.compile(loss.dc)
    return loss
