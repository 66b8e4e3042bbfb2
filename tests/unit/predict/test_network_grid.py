"""clickpet.predict.network_grid against nnU-Net's preprocessor and export."""

import numpy as np
import pytest
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import read_model_folder
from clickpet.nnunet.nonzero_box import nonzero_box
from clickpet.predict.network_grid import NetworkGrid

SHAPE = (31, 26, 21)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return read_model_folder(write_model(tmp_path_factory.mktemp("model") / "fdg"))


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(1)
    ct = rng.normal(0, 400, SHAPE).astype(np.float32)
    suv = rng.gamma(1, 2, SHAPE).astype(np.float32)
    heatmap = np.zeros(SHAPE, np.float32)
    heatmap[10:16, 8:12, 5:9] = rng.uniform(-1, 1, (6, 4, 4))
    for array in (ct, suv):
        array[:, :2] = array[-1] = 0
    return ct, suv, heatmap


def stock(model, arrays, spacing_mm):
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    data, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        np.stack([array.T for array in arrays]),
        None,
        {"spacing": list(spacing_mm[::-1])},
        model.plans,
        model.configuration,
        model.dataset,
    )
    return data, properties


@pytest.mark.parametrize("spacing_mm", [(2, 2, 3), (2.7, 2.5, 4), (1.3, 3.2, 2.2), (1, 1, 4)])
@pytest.mark.parametrize("own", [True, False])
def test_channels_are_those_of_nnunet(model, arrays, spacing_mm, own):
    data, properties = stock(model, arrays, spacing_mm)
    grid = NetworkGrid(model, SHAPE, np.diag([*spacing_mm, 1.0]), nonzero_box(arrays), own_resampling=own)
    assert grid.shape == data.shape[1:]
    assert [[part.start, part.stop] for part in grid.content][::-1] == properties["bbox_used_for_cropping"]
    for index, array in enumerate(arrays):
        ours = grid.channel(index, array)
        assert ours.dtype == np.float32
        if own:
            np.testing.assert_allclose(ours, data[index], atol=1e-6 * np.ptp(data[index]))
        else:
            np.testing.assert_array_equal(ours, data[index])


@pytest.mark.parametrize("spacing_mm", [(2, 2, 3), (2.7, 2.5, 4), (1, 1, 4)])
def test_a_box_of_a_channel_is_that_part_of_the_whole(model, arrays, spacing_mm):
    grid = NetworkGrid(model, SHAPE, np.diag([*spacing_mm, 1.0]), nonzero_box(arrays))
    box = tuple(slice(length // 4, length // 4 + length // 3) for length in grid.shape)
    for index, array in enumerate(arrays):
        whole = grid.channel(index, array)
        np.testing.assert_allclose(grid.channel(index, array, box), whole[box], atol=1e-6 * np.ptp(whole))


@pytest.mark.parametrize("spacing_mm", [(2, 2, 3), (2.7, 2.5, 4), (1.3, 3.2, 2.2), (1, 1, 4)])
def test_the_way_back_is_that_of_nnunet(model, arrays, spacing_mm):
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

    data, properties = stock(model, arrays, spacing_mm)
    logits = np.random.default_rng(2).normal(size=(2, *data.shape[1:])).astype(np.float32)
    labels = model.plans.get_label_manager(model.dataset)
    truth = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, model.plans, model.configuration, labels, properties
    ).T
    grid = NetworkGrid(model, SHAPE, np.diag([*spacing_mm, 1.0]), nonzero_box(arrays))
    ours = grid.mask(logits[1] - logits[0], grid.whole)
    assert ours.dtype == np.uint8
    assert ours.shape == SHAPE
    assert (ours != truth).mean() < 1e-4
    halves = logits.astype(np.float16)
    truth = convert_predicted_logits_to_segmentation_with_correct_shape(
        halves, model.plans, model.configuration, labels, properties
    ).T
    assert (grid.mask(halves, grid.whole) != truth).mean() < 1e-4


def test_a_box_comes_back_to_its_place(model):
    affine = np.diag([2.7, 2.5, 4.0, 1.0])
    grid = NetworkGrid(model, SHAPE, affine, tuple(slice(0, length) for length in SHAPE))
    lesion = (slice(8, 20), slice(5, 15), slice(6, 14))
    box = grid.box(lesion)
    mask = grid.mask(np.ones([part.stop - part.start for part in box], np.float32), box)
    assert mask[lesion].all()
    assert mask[nonzero_box([mask])].all()
    assert mask.sum() < 2 * 12 * 10 * 8
    values = grid.image(np.full([part.stop - part.start for part in box], 0.25, np.float32), box)
    np.testing.assert_array_equal(values > 0, mask)
    assert np.allclose(values[mask > 0], 0.25)


def test_transposed_plans(tmp_path, arrays):
    model = read_model_folder(write_model(tmp_path / "fdg"))
    model.plans.plans.update(transpose_forward=[2, 0, 1], transpose_backward=[1, 2, 0])
    data, properties = stock(model, arrays, (2.7, 2.5, 4))
    grid = NetworkGrid(model, SHAPE, np.diag([2.7, 2.5, 4, 1.0]), nonzero_box(arrays))
    np.testing.assert_allclose(grid.channel(1, arrays[1]), data[1], atol=1e-5)
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

    logits = np.random.default_rng(2).normal(size=(2, *data.shape[1:])).astype(np.float32)
    labels = model.plans.get_label_manager(model.dataset)
    truth = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, model.plans, model.configuration, labels, properties
    ).T
    assert (grid.mask(logits[1] - logits[0], grid.whole) != truth).mean() < 1e-4


def test_unknown_normalisation_is_refused(tmp_path, arrays):
    model = read_model_folder(write_model(tmp_path / "fdg"))
    model.configuration.configuration["use_mask_for_norm"] = [True, False, False]
    grid = NetworkGrid(model, SHAPE, np.eye(4), nonzero_box(arrays))
    with pytest.raises(InputError, match="normalises channel 0 by CTNormalization within a mask"):
        grid.channel(0, arrays[0])


def test_zscore_is_taken_over_all_of_the_content(tmp_path, arrays):
    model = read_model_folder(write_model(tmp_path / "fdg"))
    model.configuration.configuration["normalization_schemes"] = ["ZScoreNormalization"] * 2 + ["NoNormalization"]
    data, _ = stock(model, arrays, (2.7, 2.5, 4))
    grid = NetworkGrid(model, SHAPE, np.diag([2.7, 2.5, 4, 1.0]), nonzero_box(arrays))
    box = tuple(slice(3, 9) for _ in range(3))
    np.testing.assert_array_equal(grid.channel(0, arrays[0], box), data[0][box])
