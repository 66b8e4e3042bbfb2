"""clickpet.train.preprocessing against nnU-Net's own preprocessing."""

import hashlib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tiny_models import dataset, plans

from clickpet.geometry import Turn
from clickpet.train.preprocessing import preprocess_case

SHAPE = (31, 26, 29)
PLANS = plans(spacing_zyx=(3.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def case():
    """CT, SUV, heatmaps, truth and organs; zero at two sides, so that nnU-Net crops and marks what is outside."""
    rng = np.random.default_rng(0)

    def waves(sigma):
        return gaussian_filter(rng.normal(size=SHAPE), sigma).astype(np.float32)

    ct, suv = waves(1) * 2000, np.abs(waves(1)) * 30
    truth = (waves(1.5) > 0.06).astype(np.uint8)
    organs = np.select([waves(2) > 0.03, waves(2) > 0.03, waves(2) > 0.03], [2, 3, 9]).astype(np.uint8)
    heatmaps = [np.clip(waves(1), -1, 1), np.zeros(SHAPE, np.float32)]
    heatmaps[1][10:14, 8:12, 5:9] = 0.7
    for array in (ct, suv, truth, organs, *heatmaps):
        array[:3] = array[..., -2:] = array[:5, :5] = 0
    return ct, suv, heatmaps, truth, organs


def las(*spacing_mm):
    """Affine of a study whose axes are those that the networks see."""
    return np.diag([-spacing_mm[0], *spacing_mm[1:], 1.0])


def stock(case, affine, n_labels):
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    ct, suv, heatmaps, *labels = case
    manager = PlansManager(PLANS)
    images = np.stack([array.T for array in (ct, suv, heatmaps[0])])
    segmentation = np.stack([array.T for array in labels[:n_labels]]).astype(np.int16)
    properties = {"spacing": list(np.abs(np.diag(affine)[:3]))[::-1]}
    return DefaultPreprocessor(verbose=False).run_case_npy(
        images, segmentation, properties, manager, manager.get_configuration("3d_fullres"), dataset()
    )


def ours(case, affine, *, with_organs=True):
    ct, suv, heatmaps, truth, organs = case
    given = (ct, suv, heatmaps[0], truth, organs if with_organs else None, affine)
    return preprocess_case(*given, plans=PLANS, dataset=dataset())


@pytest.mark.parametrize("spacing_mm", [(2.7, 2.5, 4), (1.3, 3.2, 2.2), (1, 1, 1.5), (2, 2, 4), (4, 4, 6), (1, 1, 4)])
@pytest.mark.parametrize("with_organs", [True, False])
def test_another_spacing_is_resampled_as_by_nnunet(case, spacing_mm, with_organs):
    affine = las(*spacing_mm)
    images, segmentation, properties = stock(case, affine, 1 + with_organs)
    data, labels, found = ours(case, affine, with_organs=with_organs)
    assert data.shape == images.shape
    for channel, right in zip(data, images, strict=True):
        np.testing.assert_allclose(channel, right, atol=1e-5 * max(1, np.ptp(right)))
    np.testing.assert_array_equal(labels, segmentation)
    assert {1, -1} <= set(np.unique(labels[0]))
    assert (data.dtype, labels.dtype) == (np.float32, np.int16)
    for name in ("bbox_used_for_cropping", "shape_after_cropping_and_before_resampling"):
        assert found[name] == properties[name]
    assert set(found["class_locations"]) == set(properties["class_locations"])
    for label, places in properties["class_locations"].items():
        np.testing.assert_array_equal(found["class_locations"][label], places)


def test_at_equal_spacing_the_bits_are_nnunets(case):
    affine = las(2, 2, 3)
    images, segmentation, _ = stock(case, affine, 2)
    data, labels, properties = ours(case, affine)
    assert data.tobytes() == np.ascontiguousarray(images, dtype=np.float32).tobytes()
    np.testing.assert_array_equal(labels, segmentation)
    digest = hashlib.sha256(data)
    digest.update(labels)
    assert properties["digest"] == digest.hexdigest()


def test_resampling_that_is_not_ours_stays_nnunets(case):
    other = plans(spacing_zyx=(3.0, 2.0, 2.0))
    other["configurations"]["3d_fullres"]["resampling_fn_data_kwargs"] = {
        "is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None,
    }  # fmt: skip
    affine = las(2.7, 2.5, 4)
    ct, suv, heatmaps, truth, organs = case
    data, *_ = preprocess_case(ct, suv, heatmaps[0], truth, organs, affine, plans=other, dataset=dataset())
    assert np.abs(data[0] - ours(case, affine)[0][0]).max() > 0.01


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAR", "IPL", "ASL"])
@pytest.mark.parametrize("spacing_mm", [(2, 2, 3), (2.7, 2.5, 4)])
def test_the_order_of_axes_changes_nothing(case, spacing_mm, axes):
    ct, suv, heatmaps, truth, organs = case
    turn = Turn.between(las(*spacing_mm), axes)
    turned = [turn.array(volume) for volume in (ct, suv, truth, organs)]
    data, labels, properties = preprocess_case(
        *turned[:2], turn.array(heatmaps[0]), *turned[2:], turn.affine(SHAPE, las(*spacing_mm)),
        plans=PLANS, dataset=dataset(),
    )  # fmt: skip
    right, right_labels, right_properties = ours(case, las(*spacing_mm))
    np.testing.assert_array_equal(data, right)
    np.testing.assert_array_equal(labels, right_labels)
    assert properties["digest"] == right_properties["digest"]
