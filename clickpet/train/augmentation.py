"""Training augmentation that nnU-Net does not have."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform, SegOnlyTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform


class MisalignChannel(ImageOnlyTransform):
    """Turn and shift one channel a little, as if patient or lungs had moved between CT and PET.

    Each of rotation and shift happens with its own probability. channel : index of the channel;
    rotation_deg : largest angle about each axis;  shift_vox : largest shift (z, y, x) in voxels.
    What comes in from outside the patch is the nearest border value. autoPET III winner's
    misalignment augmentation, which the paper takes over (section 2.2, "Segmentation Models").
    """

    def __init__(
        self,
        *,
        channel: int = 0,
        rotation_deg: float = 5.0,
        p_rotation: float = 0.1,
        shift_vox: tuple[int, int, int] = (0, 2, 2),
        p_shift: float = 0.1,
    ):
        super().__init__()
        self.channel = channel
        self.rotation_deg = rotation_deg
        self.p_rotation = p_rotation
        self.shift_vox = shift_vox
        self.p_shift = p_shift

    def get_parameters(self, **data_dict) -> dict:
        angles_deg, shift_vox = np.zeros(3), np.zeros(3)
        if np.random.uniform() < self.p_rotation:
            angles_deg = np.random.uniform(-self.rotation_deg, self.rotation_deg, 3)
        if np.random.uniform() < self.p_shift:
            shift_vox = np.array([np.random.randint(-most, most + 1) for most in self.shift_vox])
        return {"angles_deg": angles_deg, "shift_vox": shift_vox}

    def _apply_to_image(self, img: torch.Tensor, angles_deg: np.ndarray, shift_vox: np.ndarray) -> torch.Tensor:
        if not angles_deg.any() and not shift_vox.any():
            return img
        moved = img.clone()
        moved[self.channel] = move_rigidly(img[self.channel], angles_deg, shift_vox)
        return moved


def move_rigidly(
    volume: torch.Tensor, angles_deg: np.ndarray, shift_vox: np.ndarray, *, centre_vox: np.ndarray | float = 0.0
) -> torch.Tensor:
    """Rotate `volume` (z, y, x) by `angles_deg` (about z, y, x), then shift it by `shift_vox` voxels.

    centre_vox : the point that it turns about, from the volume's centre.
    Trilinear; outside values are those of the nearest border voxel. A pure shift by whole voxels is exact.
    """
    inverse = inverse_rotation(angles_deg)
    offset = centre_vox - inverse @ (shift_vox + centre_vox)
    grid = sampling_grid(inverse, offset, shape=volume.shape, source_shape=volume.shape, device=volume.device)
    return torch.nn.functional.grid_sample(
        volume[None, None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0].to(volume.dtype)


def inverse_rotation(angles_deg: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) that undoes the rotation by `angles_deg` about z, y, x."""
    inverse = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        one, other = [index for index in range(3) if index != axis]
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = np.sin(angle), -np.sin(angle)
        inverse = inverse @ turn
    return inverse


def sampling_grid(
    matrix: np.ndarray,
    offset_vox: np.ndarray,
    *,
    shape: tuple[int, ...],
    source_shape: tuple[int, ...],
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Where a volume of `shape` is sampled from one of `source_shape`: a grid (1, z, y, x, 3) for `grid_sample`.

    Voxel v, from the centre of the new volume, is taken at `matrix` @ v + `offset_vox`, from the centre of the source;
    both in (z, y, x).
    """
    size, source_size = np.array(shape, float), np.array(source_shape, float)
    # affine_grid wants x, y, z order in units of half the volume: voxel = size / 2 * normalised
    scaled = np.diag(2 / source_size) @ matrix @ np.diag(size / 2)
    offset = (2 / source_size) * offset_vox
    theta = torch.from_numpy(np.concatenate((scaled[::-1, ::-1], offset[::-1, None]), 1)).float()
    return torch.nn.functional.affine_grid(theta[None].to(device), [1, 1, *shape], align_corners=False)


class OrganAwareSpatialTransform(SpatialTransform):
    """nnU-Net's spatial transform, organs (segmentation channels 1 and up) sampled by nearest neighbour.

    Lesions keep the label-wise interpolation of nnU-Net. Label-wise sampling of 14 organs costs twenty
    times as much and changes nothing but the outermost voxel of an organ.
    """

    @classmethod
    def like(cls, transform: SpatialTransform) -> OrganAwareSpatialTransform:
        """The same transform with all its settings, organs sampled by nearest neighbour."""
        changed = copy(transform)
        changed.__class__ = cls
        return changed

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params) -> torch.Tensor:
        lesions = super()._apply_to_segmentation(segmentation[:1], **params)
        if len(segmentation) == 1:
            return lesions
        coarse = copy(self)
        coarse.mode_seg = "nearest"
        organs = SpatialTransform._apply_to_segmentation(coarse, segmentation[1:], **params)
        return torch.cat((lesions, organs))


class KeepLesions(SegOnlyTransform):
    """Drop the organ channels of the segmentation (n, z, y, x) -> (1, z, y, x): validation is about lesions."""

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params) -> torch.Tensor:
        return segmentation[:1]


class MarkOutside(BasicTransform):
    """Set the last channel of the image (SUV) to -inf where the segmentation says that it is outside the scan."""

    #: Label of what lies outside, as nnU-Net has it until its transform that removes it.
    LABEL = -1

    def __call__(self, **sample) -> dict:
        outside = sample["segmentation"][0] == self.LABEL
        sample["image"][-1].masked_fill_(outside, -torch.inf)
        return sample


class ScanOnly(BasicTransform):
    """A transform of intensities applied to CT and PET, not to the channels after them (clicks, SUV)."""

    #: CT and PET.
    CHANNELS = 2

    def __init__(self, transform: ImageOnlyTransform):
        super().__init__()
        self.transform = transform

    def __call__(self, **sample) -> dict:
        image = sample["image"]
        scan = self.transform(image=image[: self.CHANNELS])["image"]
        return {**sample, "image": torch.cat((scan, image[self.CHANNELS :]))}


def all_transforms(transform: BasicTransform) -> list[BasicTransform]:
    """`transform` and all that it is composed of, depth first."""
    inner = list(getattr(transform, "transforms", []))
    inner += [transform.transform] if hasattr(transform, "transform") else []
    return [transform, *(leaf for part in inner for leaf in all_transforms(part))]


def sparing_clicks(transforms: Sequence[BasicTransform]) -> list[BasicTransform]:
    """Transforms that change the intensities of CT and PET alone: the channels after them, clicks and SUV, only move.

    Corrections are drawn into the click channel after the augmentation, from the SUV, and must look as the clicks that
    are there and as those of a prediction.
    """
    changing = [place for place, one in enumerate(transforms) if isinstance(one, RandomTransform)]
    spared = [
        RandomTransform(ScanOnly(one.transform), one.apply_probability) if place in changing else one
        for place, one in enumerate(transforms)
    ]
    spared.insert(changing[0], MarkOutside())
    return spared
