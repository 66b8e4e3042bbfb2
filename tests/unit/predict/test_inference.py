"""clickpet.predict.inference: the folds of a case, its inputs, and what is recorded."""

import numpy as np
import pytest
from scipy import ndimage
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import over_mask
from clickpet.images import read_image, write_image
from clickpet.predict.ensemble import LesionEnsemble
from clickpet.predict.inference import (
    cost_text,
    member_folds,
    predict_scan,
    read_heatmap,
    read_scan,
    write_disagreement,
    write_lesion_disagreement,
    write_masks,
    write_probability,
)

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
SHAPE = (20, 18, 17)
SPLITS = {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("slug", "split", "folds", "members"),
    [
        ("a", "train", [0, 1, 2], [1]),
        ("b", "train", [0, 1, "all"], [0]),
        ("a", "test", [0, 1, "all"], [0, 1, "all"]),
        ("new", "predict", [0, 1], [0, 1]),
    ],
)
def test_train_cases_get_the_fold_that_held_them_out(slug, split, folds, members):
    assert member_folds(slug, split, folds, SPLITS) == members


def test_train_cases_without_their_fold():
    with pytest.raises(InputError, match=r"case new is in no fold"):
        member_folds("new", "train", [0, 1], SPLITS)
    with pytest.raises(InputError, match=r"case a was held out by fold 1, which 'folds' leaves out"):
        member_folds("a", "train", [0, "all"], SPLITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "fdg", folds=(0, 1))


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for name, scale in (("ct", 300), ("suv", 3), ("heatmap", 0.3)):
        write_image(tmp_path / f"{name}.nii.gz", rng.normal(0, scale, SHAPE).astype(np.float32), AFFINE)
    return {name: tmp_path / f"{name}.nii.gz" for name in ("ct", "suv", "heatmap")}


def inputs(files):
    def read():
        scan = read_scan(ct=files["ct"], suv=files["suv"])
        return scan, [read_heatmap(files["heatmap"], scan), np.zeros(SHAPE, np.float32)]

    return read


def test_predict_scan_is_the_ensembles_prediction(folder, files):
    first, second = predict_scan(inputs(files), folder, [0, 1], voxel_limits=(10, 1e6, 1e7), device="cpu")
    arrays = [read_image(files[name]).array for name in ("ct", "suv", "heatmap")]
    alone = LesionEnsemble.load(folder, [0, 1]).predict(
        **dict(zip(("ct", "suv", "heatmap"), arrays, strict=True)), affine=AFFINE, mirror_axes=(1, 2)
    )
    np.testing.assert_array_equal(first.mask, alone.mask)
    np.testing.assert_array_equal(first.affine, AFFINE)
    details = first.details
    assert details["mirror_axes"] == [1, 2]
    assert details["mirroring"] == "voxels"
    assert details["expected_s"] is None
    assert details["peak_memory_mb"] > 50
    assert details["peak_gpu_memory_mb"] is None
    assert details["seconds"]["total"] >= details["seconds"]["load"] > 0
    assert not np.array_equal(first.mask, second.mask)


def calibration(pass_s):
    return {
        "device": "cpu",
        "patch": [16, 16, 16],
        "fixed_s": 1.0,
        "per_voxel_s": 0.0,
        "pass_s": {str(n_axes): pass_s for n_axes in range(4)},
    }


@pytest.mark.parametrize(("limit_s", "axes"), [(1000, [0, 1, 2]), (90, [1, 2]), (34, [2]), (17, []), (3, [])])
def test_budget_takes_what_fits_and_says_what_does_not(folder, files, limit_s, axes):
    budget = {"mirroring": "budget", "time_limit_s": limit_s, "calibration": calibration(1.0)}
    prediction = next(predict_scan(inputs(files), folder, [0, 1], device="cpu", body_box=False, **budget))
    details = prediction.details
    assert details["tiles"] == 8
    assert details["mirror_axes"] == axes
    assert details["expected_s"] == 1 + 8 * 2 * 2 ** len(axes)
    assert details["expected_axes"] == axes
    assert details["time_limit_s"] == limit_s
    assert details["fits"] is (limit_s >= 17)
    said = cost_text(details)
    assert f"expected {details['expected_s']:.1f} s, allowed {limit_s} s" in said
    assert ("not expected to fit" in said) is (limit_s < 17)


def test_budget_needs_a_calibration_of_this_model(folder, files):
    def predict(**budget):
        next(predict_scan(inputs(files), folder, [0], device="cpu", mirroring="budget", **budget))

    with pytest.raises(InputError, match="nothing was measured; run the target 'calibrate' first"):
        predict(time_limit_s=100)
    with pytest.raises(InputError, match=r"was measured for patch \[32, 32, 32\] on cpu, the model has \[16, 16, 16\]"):
        predict(time_limit_s=100, calibration={**calibration(1), "patch": [32, 32, 32]})
    with pytest.raises(InputError, match="on Tesla T4, the model has"):
        predict(time_limit_s=100, calibration={**calibration(1), "device": "Tesla T4"})
    with pytest.raises(InputError, match=r"predict\.time_limit_s is None"):
        predict(calibration=calibration(1))
    with pytest.raises(InputError, match=r"predict\.mirroring is 'deep'"):
        next(predict_scan(inputs(files), folder, [0], device="cpu", mirroring="deep"))


def test_inputs_on_other_grids_are_refused(files, tmp_path):
    other = tmp_path / "other.nii.gz"
    write_image(other, np.zeros((20, 18, 16), np.float32), AFFINE)
    with pytest.raises(InputError, match=r"other\.nii\.gz: is 20x18x16 .*, the PET is 20x18x17"):
        read_scan(ct=other, suv=files["suv"])
    with pytest.raises(InputError, match=r"other\.nii\.gz: is 20x18x16"):
        read_heatmap(other, read_scan(ct=files["ct"], suv=files["suv"]))


def test_write_masks(folder, files, tmp_path):
    paths = [tmp_path / f"clicks_{k}" / "lesions_raw.nii.gz" for k in range(2)]
    predictions = list(predict_scan(inputs(files), folder, [0], device="cpu", voxel_limits=(1, 2, 3)))
    write_masks(paths, iter(predictions))
    for path, prediction in zip(paths, predictions, strict=True):
        image = read_image(path)
        assert image.array.dtype == np.uint8
        np.testing.assert_array_equal(image.array, prediction.mask)
        np.testing.assert_array_equal(image.affine, AFFINE)
    first = paths[0].read_bytes()
    write_masks(paths, predict_scan(inputs(files), folder, [0], device="cpu", voxel_limits=(1, 2, 3)))
    assert paths[0].read_bytes() == first
    with pytest.raises(ValueError, match="shorter"):
        write_masks(paths, predictions[:1])


def test_write_disagreement(folder, files, tmp_path):
    for members in ([0, 1], [0]):
        prediction = next(
            predict_scan(
                inputs(files), folder, members, device="cpu", voxel_limits=(1, 2, 3), disagreement="everywhere"
            )
        )
        write_disagreement(tmp_path / "disagreement.nii.gz", prediction)
        image = read_image(tmp_path / "disagreement.nii.gz")
        assert image.array.dtype == np.float32
        if len(members) == 2:
            np.testing.assert_allclose(image.array, prediction.disagreement, atol=5.1e-4)
            assert image.array.max() > 0
        else:
            assert np.isnan(image.array).all()


def test_the_disagreement_in_the_mask_comes_back_in_its_places(folder, files, tmp_path):
    options = {"device": "cpu", "voxel_limits": (1, 2, 3)}
    prediction = next(predict_scan(inputs(files), folder, [0, 1], **options, disagreement="lesions"))
    write_lesion_disagreement(tmp_path / "d.npy", prediction)
    values = np.load(tmp_path / "d.npy")
    assert (values.dtype, values.shape) == (np.float32, (np.count_nonzero(prediction.mask),))
    mask = np.ascontiguousarray(prediction.mask)  # another order in memory than the prediction's
    np.testing.assert_array_equal(over_mask(mask, values), prediction.disagreement)
    alone = next(predict_scan(inputs(files), folder, [0], **options, disagreement="lesions"))
    write_lesion_disagreement(tmp_path / "d.npy", alone)
    assert np.load(tmp_path / "d.npy").size == 0


def test_peak_memory_of_the_card_is_that_of_the_case(folder, files, monkeypatch):
    monkeypatch.setattr("clickpet.predict.accelerator.forget_peak_memory", lambda device: peaks.append(2048.0))
    monkeypatch.setattr("clickpet.predict.accelerator.peak_gpu_memory_mb", lambda device: peaks[-1])
    peaks = [9000.0]  # of the case before
    prediction = next(predict_scan(inputs(files), folder, [0], device="cpu", voxel_limits=(1, 2, 3)))
    assert prediction.details["peak_gpu_memory_mb"] == 2048.0


def test_write_probability_keeps_numbers_of_half_precision(folder, files, tmp_path):
    options = {"device": "cpu", "voxel_limits": (1, 2, 3), "save_probability": True}
    prediction = next(predict_scan(inputs(files), folder, [0, 1], **options))
    write_probability(tmp_path / "probability.nii.gz", prediction)
    image = read_image(tmp_path / "probability.nii.gz")
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array.astype(np.float16), prediction.probability)
    np.testing.assert_array_equal(image.array, prediction.probability.astype(np.float32))
    assert 0 < image.array.max() <= 1


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_component_probabilities_are_means_of_the_map_over_the_masks_components(folder, files, tmp_path, average):
    options = {"device": "cpu", "voxel_limits": (1, 2, 3), "fold_average": average, "threshold": 0.7}
    whole = next(predict_scan(inputs(files), folder, [0, 1], **options, save_probability=True))
    found = next(predict_scan(inputs(files), folder, [0, 1], **options, lesion_probability=True))
    np.testing.assert_array_equal(found.mask, whole.mask)
    np.testing.assert_array_equal(found.probability, np.where(whole.mask, whole.probability, 0))
    write_masks([tmp_path / "mask.nii.gz"], iter([found]), [tmp_path / "means.npy"])
    means = np.load(tmp_path / "means.npy")
    labels, count = ndimage.label(read_image(tmp_path / "mask.nii.gz").array, np.ones((3, 3, 3)))
    expected = [whole.probability[labels == number].astype(float).mean() for number in range(1, count + 1)]
    assert count > 1
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, expected, rtol=1e-6)
    assert means.min() > 0.699  # half precision rounds
