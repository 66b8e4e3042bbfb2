"""nnU-Net's augmentation on the training's device: workers read, the device moves, blurs and mirrors.

Parameters are drawn by nnU-Net's own transforms. Those that need the CPU (spatial transform, blur) are done here with
the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform, _build_kernel
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch.nn.functional import grid_sample, pad

from clickpet.train.augmentation import MisalignChannel, ScanOnly, move_rigidly, sampling_grid
from clickpet.train.moves import Move

#: Label of what lies outside the image, as nnU-Net has it until its transform that removes it.
OUTSIDE = -1
#: Labels of the lesion channel.
LESION_LABELS = (OUTSIDE, 0, 1)
#: nnU-Net compares interpolated label scores after scaling by this and rounding to half precision.
SCORE_SCALE = 1000.0
#: Extent of nnU-Net's blur kernel in standard deviations.
BLUR_TRUNCATE = 6


class DeviceAugmentation:
    """Turns the boxes that `clickpet.train.loading.CroppingLoader` reads into a batch for the network, on `device`.

    transforms : what nnU-Net applies to a patch, in its order, misalignment and spatial transform included (which the
    boxes were drawn with and which are done here by `apply_move`).
    """

    def __init__(self, transforms: Sequence[BasicTransform], device: torch.device | str):
        self.device = torch.device(device)
        rest = [one for one in transforms if not isinstance(one, MisalignChannel | SpatialTransform)]
        self.after = [_on_device(one) for one in rest if not isinstance(one, DownsampleSegForDSTransform)]
        self.levels = next((one for one in rest if isinstance(one, DownsampleSegForDSTransform)), None)

    @torch.no_grad()
    def __call__(self, batch: dict) -> dict:
        """A batch of boxes: "data" (float32), "target" (int16) and "moves", lists with an entry for each patch.

        Returns "data" float32 (batch, channels, z, y, x) and "target" int16, a list of resolutions if nnU-Net makes
        them, on the device.
        """
        images, segmentations = [], []
        for image, segmentation, move in zip(batch["data"], batch["target"], batch["moves"], strict=True):
            image, segmentation = (part.to(self.device, non_blocking=True) for part in (image, segmentation))
            image, segmentation = apply_move(image, segmentation, move)
            sample = {"image": image, "segmentation": segmentation}
            for transform in self.after:
                sample = transform(**sample)
            images.append(sample["image"])
            segmentations.append(sample["segmentation"])
        target = torch.stack(segmentations)
        if self.levels is not None:
            per_patch = [self.levels(segmentation=one)["segmentation"] for one in segmentations]
            target = [torch.stack(level) for level in zip(*per_patch, strict=True)]
        return {"data": torch.stack(images), "target": target, "keys": batch["keys"]}


def apply_move(image: torch.Tensor, segmentation: torch.Tensor, move: Move) -> tuple[torch.Tensor, torch.Tensor]:
    """The patch that a move makes of its box, as `MisalignChannel` and nnU-Net's spatial transform do it.

    image (channels, z, y, x), whose CT channel is written to;  segmentation int16 (1 or 2, z, y, x): lesions
    interpolated by label, organs by nearest neighbour.
    """
    box = move.box()
    # what things turn about, from the centre of the box
    centre = np.array(
        [(n - 1) / 2 - (axis.start + axis.stop - 1) / 2 for n, axis in zip(move.initial, box, strict=True)]
    )
    if move.angles_deg.any():
        image[0] = move_rigidly(image[0], move.angles_deg, move.shift_vox, centre_vox=centre)
    elif move.shift_vox.any():
        image[0] = shift_by_copying(image[0], move.shift_vox)
    if move.affine is None:
        own = [
            slice(part.start - whole.start, part.stop - whole.start) for part, whole in zip(move.crop, box, strict=True)
        ]
        return image[:, *own].clone(), segmentation[:, *own].clone()
    grid = sampling_grid(
        move.affine, centre, shape=move.patch, source_shape=tuple(image.shape[1:]), device=image.device
    )
    moved = grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
    lesions = sample_labels(segmentation[0], grid, LESION_LABELS)[None]
    organs = sample_nearest(segmentation[1:], grid) if len(segmentation) > 1 else segmentation[1:]
    return moved, torch.cat((lesions, organs)) if len(segmentation) > 1 else lesions


def shift_by_copying(volume: torch.Tensor, shift_vox: np.ndarray) -> torch.Tensor:
    """Shift `volume` (z, y, x) by whole voxels; the border voxel is repeated."""
    for axis, shift in enumerate(np.asarray(shift_vox, int)):
        if shift:
            source = torch.arange(volume.shape[axis], device=volume.device) - int(shift)
            volume = volume.index_select(axis, source.clamp_(0, volume.shape[axis] - 1))
    return volume


def sample_nearest(labels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Labels (channels, z, y, x) at the points of `grid` by nearest neighbour; OUTSIDE beyond the border."""
    sampled = grid_sample(
        (labels - OUTSIDE).float()[None], grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return sampled[0].to(labels.dtype) + OUTSIDE


def sample_labels(labels: torch.Tensor, grid: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """Labels (z, y, x) at the points of `grid`: the one with the largest interpolated share.

    values : all labels there may be, OUTSIDE among them. Where shares are equal the nearest neighbour decides if it
    is one of those, else the smaller label.
    """
    nearest = sample_nearest(labels[None], grid)[0]
    best = winner = own = None
    for value in values:
        beyond = float(value == OUTSIDE)
        indicator = (labels == value).float().sub_(beyond).mul_(SCORE_SCALE)[None, None]
        score = grid_sample(indicator, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0, 0]
        score = score.add_(beyond * SCORE_SCALE).half()
        if best is None:
            best, winner, own = score, torch.full_like(nearest, value), torch.where(nearest == value, score, -1)
            continue
        winner[score > best] = value
        own = torch.where(nearest == value, score, own)
        best = torch.maximum(best, score)
    return torch.where(own == best, nearest, winner)


class BlurOnDevice(GaussianBlurTransform):
    """nnU-Net's blur as a sum of shifted copies: in single precision on any device, whatever convolutions round to."""

    def _apply_to_image(self, img: torch.Tensor, **params) -> torch.Tensor:
        for channel, sigmas in zip(np.flatnonzero(params["apply_to_channel"]), params["sigmas"], strict=True):
            volume = img[channel]
            for axis, sigma in enumerate(sigmas):
                volume = blur_axis(volume, sigma, axis)
            img[channel] = volume
        return img


def blur_axis(volume: torch.Tensor, sigma: float, axis: int) -> torch.Tensor:
    """Blur `volume` (z, y, x) along one axis by nnU-Net's Gaussian of `sigma` voxels; the border is mirrored."""
    kernel = _build_kernel(sigma, truncate=BLUR_TRUNCATE).tolist()
    half, length = len(kernel) // 2, volume.shape[axis]
    widths = [0] * 6
    widths[4 - 2 * axis : 6 - 2 * axis] = [half, half]
    padded = pad(volume[None], widths, mode="reflect")[0]
    blurred = padded.narrow(axis, 0, length) * kernel[0]
    for step, weight in enumerate(kernel[1:], start=1):
        blurred.add_(padded.narrow(axis, step, length), alpha=weight)
    return blurred


def _on_device(transform: BasicTransform) -> BasicTransform:
    """The transform, or what stands in for it on a device."""
    if isinstance(transform, GaussianBlurTransform):
        return BlurOnDevice(
            transform.blur_sigma, transform.synchronize_channels, transform.synchronize_axes, transform.p_per_channel
        )
    if isinstance(transform, ScanOnly):
        return ScanOnly(_on_device(transform.transform))
    if isinstance(transform, RandomTransform):
        return RandomTransform(_on_device(transform.transform), transform.apply_probability)
    return transform
