"""Augmentation on the device: given the same drawn parameters, the same patches as nnU-Net's within rounding."""

import itertools

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from scipy import ndimage
from spatial_transforms import INITIAL, PATCH, spatial

from clickpet.train.augmentation import MisalignChannel, OrganAwareSpatialTransform, move_rigidly, sparing_clicks
from clickpet.train.device_augmentation import BlurOnDevice, DeviceAugmentation, apply_move, shift_by_copying
from clickpet.train.moves import draw_move

MISALIGN = {"channel": 0, "rotation_deg": 5, "p_rotation": 0.5, "shift_vox": (0, 2, 2), "p_shift": 0.5}


@pytest.fixture(scope="module")
def patch():
    """An initial patch: image float32 (3, z, y, x) and labels int16 (2, z, y, x), some of it outside."""
    rng = np.random.default_rng(0)
    image = np.stack([ndimage.gaussian_filter(rng.normal(size=INITIAL), 1.5) for _ in range(3)])
    lesions = (ndimage.gaussian_filter(rng.normal(size=INITIAL), 2) > 0.05).astype(np.int16)
    organs = ndimage.zoom(rng.integers(0, 16, (5, 5, 6)), np.array(INITIAL) / (5, 5, 6), order=0).astype(np.int16)
    labels = np.stack([lesions, organs])
    image[:, :4], labels[:, :4] = 0, -1
    return torch.from_numpy(image).float(), torch.from_numpy(labels)


def cut(patch, move):
    """What the worker reads of an initial patch."""
    return tuple(part[:, *move.box()].clone() for part in patch)


@pytest.mark.parametrize("seed", range(24))
def test_a_moved_patch_is_that_of_nnunet(patch, seed):
    stock = ComposeTransforms([MisalignChannel(**MISALIGN), OrganAwareSpatialTransform.like(spatial())])
    np.random.seed(seed)
    expected = stock(image=patch[0].clone(), segmentation=patch[1].clone())
    np.random.seed(seed)
    move = draw_move(spatial(), MisalignChannel(**MISALIGN), initial=INITIAL, patch=PATCH)
    image, labels = apply_move(*cut(patch, move), move)
    torch.testing.assert_close(image, expected["image"], atol=2e-5, rtol=0)
    assert labels.dtype == torch.int16
    for channel in (0, 1):
        assert (labels[channel] != expected["segmentation"][channel]).float().mean() < 2e-4
    if move.affine is None:
        assert torch.equal(labels, expected["segmentation"])


@pytest.mark.parametrize("shift", [(0, 2, -1), (1, 0, 0), (-2, -3, 4), (0, 0, 0)])
def test_whole_voxel_shifts_copy(shift):
    volume = torch.rand(8, 9, 10)
    moved = shift_by_copying(volume, np.array(shift))
    assert torch.equal(moved, torch.from_numpy(ndimage.shift(volume.numpy(), shift, order=0, mode="nearest")))
    torch.testing.assert_close(moved, move_rigidly(volume, np.zeros(3), np.array(shift, float)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(6))
def test_the_blur_is_that_of_nnunet(seed):
    image = torch.rand(3, 12, 14, 10)
    options = {"blur_sigma": (0.5, 1.0), "synchronize_channels": False, "synchronize_axes": False, "p_per_channel": 0.5}
    results = []
    for kind in (GaussianBlurTransform, BlurOnDevice):
        torch.manual_seed(seed)
        np.random.seed(seed)
        results.append(kind(**options)(image=image.clone())["image"])
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-6)


def stock_transforms() -> ComposeTransforms:
    """nnU-Net's training transforms with ours, without the timing of blurs."""
    stock = nnUNetTrainer.get_training_transforms(PATCH, (-0.5, 0.5), [[1, 1, 1], [0.5, 0.5, 0.5]], (0, 1, 2), False)
    transforms = [OrganAwareSpatialTransform.like(stock.transforms[0]), *stock.transforms[1:]]
    for one in transforms:
        if isinstance(getattr(one, "transform", None), GaussianBlurTransform):
            one.transform.benchmark = False
    return ComposeTransforms([MisalignChannel(**MISALIGN), *transforms])


@pytest.mark.parametrize("seed", range(12))
def test_a_whole_augmentation_is_that_of_nnunet(patch, seed):
    stock = stock_transforms()
    np.random.seed(seed)
    torch.manual_seed(seed)
    expected = stock(image=patch[0].clone(), segmentation=patch[1].clone())
    np.random.seed(seed)
    torch.manual_seed(seed)
    move = draw_move(stock.transforms[1], stock.transforms[0], initial=INITIAL, patch=PATCH)
    image, labels = cut(patch, move)
    batch = {"data": [image], "target": [labels], "moves": [move], "keys": ["case"]}
    augmented = DeviceAugmentation(stock.transforms, "cpu")(batch)
    assert augmented["keys"] == ["case"]
    torch.testing.assert_close(augmented["data"][0], expected["image"], atol=2e-4, rtol=1e-4)
    assert len(augmented["target"]) == len(expected["segmentation"]) == 2
    for ours, theirs in zip(augmented["target"], expected["segmentation"], strict=True):
        assert ours.dtype == theirs.dtype == torch.int16
        assert ours.min() >= 0
        assert (ours[0] != theirs).float().mean() < 5e-4


def test_a_batch_holds_patches_of_different_boxes(patch):
    stock = stock_transforms()
    np.random.seed(0)
    moves = [draw_move(stock.transforms[1], stock.transforms[0], initial=INITIAL, patch=PATCH) for _ in range(8)]
    images, labels = zip(*(cut(patch, move) for move in moves), strict=True)
    assert len({image.shape for image in images}) > 1
    batch = {"data": list(images), "target": list(labels), "moves": moves, "keys": list("abcdefgh")}
    augmented = DeviceAugmentation(stock.transforms, "cpu")(batch)
    assert augmented["data"].shape == (8, 3, *PATCH)
    assert [tuple(level.shape) for level in augmented["target"]] == [(8, 2, *PATCH), (8, 2, 12, 10, 14)]


@pytest.mark.parametrize("seed", range(8))
def test_clicks_and_suv_move_with_the_scan_and_keep_their_values(patch, seed):
    """For corrections: the same patches on the CPU and on the device, and clicks and SUV only moved and mirrored."""
    image = torch.cat((patch[0], 5 + patch[0][1:2]))
    stock = stock_transforms()
    spared = ComposeTransforms(sparing_clicks(stock.transforms))
    np.random.seed(seed)
    torch.manual_seed(seed)
    expected = spared(image=image.clone(), segmentation=patch[1].clone())
    np.random.seed(seed)
    torch.manual_seed(seed)
    move = draw_move(stock.transforms[1], stock.transforms[0], initial=INITIAL, patch=PATCH)
    box, labels = cut((image, patch[1]), move)
    batch = {"data": [box.clone()], "target": [labels.clone()], "moves": [move], "keys": ["case"]}
    augmented = DeviceAugmentation(spared.transforms, "cpu")(batch)["data"][0]
    torch.testing.assert_close(augmented[:3], expected["image"][:3], atol=2e-4, rtol=1e-4)
    inside = ~torch.isneginf(augmented[3])
    assert (torch.isneginf(expected["image"][3]) == ~inside).float().mean() > 0.999
    both = inside & ~torch.isneginf(expected["image"][3])
    torch.testing.assert_close(augmented[3][both], expected["image"][3][both], atol=2e-4, rtol=1e-4)
    moved, moved_labels = apply_move(box.clone(), labels.clone(), move)
    moved[3][moved_labels[0] == -1] = -torch.inf
    flips = [axes for n in range(4) for axes in itertools.combinations((1, 2, 3), n)]
    assert any(torch.equal(torch.flip(moved[2:], axes), augmented[2:]) for axes in flips)
    assert not torch.isneginf(augmented[3]).all()
    assert torch.isneginf(augmented[3]).any() == (moved_labels[0] == -1).any()
