import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from scipy import ndimage

from clickpet.train.augmentation import (
    KeepLesions,
    MarkOutside,
    MisalignChannel,
    OrganAwareSpatialTransform,
    ScanOnly,
    move_rigidly,
)


@pytest.fixture
def volume():
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(10, 14, 18)), 2)
    return torch.from_numpy(smooth).float()


@pytest.mark.parametrize("shift", [(0, 2, -1), (1, 0, 0), (-2, -3, 4)])
def test_a_whole_shift_moves_voxels_and_repeats_the_border(volume, shift):
    moved = move_rigidly(volume, np.zeros(3), np.array(shift, float))
    expected = ndimage.shift(volume.numpy(), shift, order=0, mode="nearest")
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rotation_is_that_of_scipy(volume, axis):
    angles = np.zeros(3)
    angles[axis] = 12.0
    moved = move_rigidly(volume, angles, np.zeros(3)).numpy()
    axes = [index for index in range(3) if index != axis]
    candidates = [
        ndimage.rotate(volume.numpy(), sign * 12.0, axes=axes, reshape=False, order=1, mode="nearest")
        for sign in (1, -1)
    ]
    assert min(np.abs(moved - candidate).max() for candidate in candidates) < 1e-4


def test_only_the_given_channel_moves():
    image = torch.rand(3, 6, 8, 8)
    always = MisalignChannel(channel=0, p_rotation=1, p_shift=1)
    np.random.seed(0)
    moved = always(image=image.clone())["image"]
    assert not torch.equal(moved[0], image[0])
    assert torch.equal(moved[1:], image[1:])
    never = MisalignChannel(p_rotation=0, p_shift=0)
    assert torch.equal(never(image=image.clone())["image"], image)


def test_lesions_as_nnunet_does_organs_by_nearest_neighbour():
    options = {
        "patch_size": (8, 8, 8), "patch_center_dist_from_border": 0, "random_crop": False, "p_rotation": 1,
        "rotation": (0.3, 0.3), "p_scaling": 1, "scaling": (0.9, 0.9), "border_mode_seg": "constant",
        "padding_value_seg": -1,
    }  # fmt: skip
    stock = SpatialTransform(**options)
    rng = np.random.default_rng(0)
    lesions = ndimage.gaussian_filter(rng.normal(size=(12, 12, 12)), 1) > 0.1
    organs = rng.integers(0, 4, (12, 12, 12))
    segmentation = torch.from_numpy(np.stack([lesions, organs])).to(torch.int16)
    image = torch.rand(1, 12, 12, 12)
    ours = OrganAwareSpatialTransform.like(stock)(image=image.clone(), segmentation=segmentation.clone())
    theirs = stock(image=image.clone(), segmentation=segmentation.clone())
    assert torch.equal(ours["image"], theirs["image"])
    assert torch.equal(ours["segmentation"][0], theirs["segmentation"][0])
    nearest = SpatialTransform(**options, mode_seg="nearest")(image=image.clone(), segmentation=segmentation.clone())
    assert torch.equal(ours["segmentation"][1], nearest["segmentation"][1])
    assert stock.mode_seg == "bilinear"


def test_validation_keeps_lesions_only():
    segmentation = torch.arange(2 * 8).reshape(2, 2, 2, 2)
    kept = KeepLesions()(image=torch.zeros(1, 2, 2, 2), segmentation=segmentation)["segmentation"]
    assert torch.equal(kept, segmentation[:1])


def test_the_last_channel_knows_what_is_outside():
    image = torch.rand(4, 3, 4, 5)
    labels = torch.zeros(2, 3, 4, 5, dtype=torch.int16)
    labels[0, 0] = -1
    labels[1, 1] = -1  # organs do not say
    marked = MarkOutside()(image=image.clone(), segmentation=labels.clone())
    assert torch.isneginf(marked["image"][3, 0]).all()
    assert torch.equal(marked["image"][3, 1:], image[3, 1:])
    assert torch.equal(marked["image"][:3], image[:3])
    assert torch.equal(marked["segmentation"], labels)


def test_intensities_of_clicks_and_suv_stay():
    class Double(ImageOnlyTransform):
        def _apply_to_image(self, img, **params):
            return 2 * img

    image, labels = torch.rand(4, 3, 4, 5), torch.ones(1, 3, 4, 5)
    sample = ScanOnly(Double())(image=image, segmentation=labels)
    assert torch.equal(sample["image"][:2], 2 * image[:2])
    assert torch.equal(sample["image"][2:], image[2:])
    assert sample["segmentation"] is labels
