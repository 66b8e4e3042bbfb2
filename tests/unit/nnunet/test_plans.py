import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.geometry import Turn
from clickpet.nnunet.plans import (
    Topology,
    dataset_json,
    fingerprint_case,
    fingerprint_cohort,
    network_plans,
    resencl_plans,
)

RNG = np.random.default_rng(0)


def a_case(shape=(20, 24, 30), spacing=(2.0, 2.0, 3.0), lesions=True):
    ct = RNG.normal(0, 100, shape).astype(np.float32)
    suv = RNG.gamma(2, 1, shape).astype(np.float32)
    truth = np.zeros(shape, np.uint8)
    if lesions:
        truth[5:9, 6:9, 10:14] = 1
    return fingerprint_case(ct, suv, truth, np.diag([*spacing, 1.0])), ct, suv, truth


def test_fingerprint_of_a_case():
    (case, intensities), ct, suv, truth = a_case()
    assert case["spacing"] == [3.0, 2.0, 2.0]
    assert case["shape_after_crop"] == [30, 24, 20]
    assert case["relative_size_after_cropping"] == 1.0
    assert sorted(intensities[0]) == sorted(ct[truth == 1])
    assert sorted(intensities[1]) == sorted(suv[truth == 1])


@pytest.mark.parametrize("axes", ["RAS", "PIR", "SAR", "IPL"])
def test_fingerprints_do_not_depend_on_the_order_of_axes(axes):
    affine = np.diag([-2.0, 2.5, 3.0, 1.0])
    _, ct, suv, truth = a_case()
    ct[:3] = suv[:3] = 0
    turn = Turn.between(affine, axes)
    case, intensities = fingerprint_case(ct, suv, truth, affine)
    volumes = (turn.array(volume) for volume in (ct, suv, truth))
    turned, found = fingerprint_case(*volumes, turn.affine(ct.shape, affine))
    assert turned == case
    assert case["shape_after_crop"] == [30, 24, 17]
    np.testing.assert_array_equal(found, intensities)


def test_zero_margins_are_cropped():
    ct = np.zeros((10, 10, 10), np.float32)
    ct[2:8, 3:7, 1:5] = 1
    case, _ = fingerprint_case(ct, ct, np.zeros((10, 10, 10), np.uint8), np.eye(4))
    assert case["shape_after_crop"] == [4, 4, 6]
    assert case["relative_size_after_cropping"] == pytest.approx(96 / 1000)


def test_cohort_statistics_are_those_of_the_lesions_and_healthy_cases_do_not_count():
    (sick, values), *_ = a_case()
    (healthy, none), *_ = a_case(lesions=False)
    fingerprint = fingerprint_cohort([sick, healthy], [values, none])
    ct, suv, clicks = (fingerprint["foreground_intensity_properties_per_channel"][key] for key in "012")
    assert ct["mean"] == pytest.approx(values[0].mean(), abs=5)
    assert suv["max"] == pytest.approx(values[1].max(), rel=1e-5)
    assert clicks["std"] == 1.0
    assert fingerprint["spacings"] == [[3.0, 2.0, 2.0]] * 2
    assert fingerprint == fingerprint_cohort([sick, healthy], [values, none])


def test_a_cohort_without_lesions_is_refused():
    (healthy, none), *_ = a_case(lesions=False)
    with pytest.raises(InputError, match="no training case"):
        fingerprint_cohort([healthy], [none])


@pytest.fixture(scope="module")
def stock():
    (case, values), *_ = a_case()
    return resencl_plans(fingerprint_cohort([case] * 3, [values] * 3), dataset_json(3), tracer="psma")


def test_resencl_plans_normalise_ct_and_pet_and_leave_clicks_alone(stock):
    configuration = stock["configurations"]["3d_fullres"]
    assert configuration["normalization_schemes"] == ["CTNormalization", "CTNormalization", "NoNormalization"]
    assert configuration["spacing"] == [3.0, 2.0, 2.0]
    assert stock["transpose_forward"] == [0, 1, 2]
    assert stock["dataset_name"] == "Dataset501_psma"


def test_a_given_spacing_is_the_target(stock):
    (case, values), *_ = a_case()
    plans = resencl_plans(fingerprint_cohort([case], [values]), dataset_json(1), tracer="fdg", spacing=[4, 4, 4])
    assert plans["configurations"]["3d_fullres"]["spacing"] == [4.0, 4.0, 4.0]


def test_the_papers_network(stock):
    plans = network_plans(stock, patch_size=[192, 192, 192], batch_size=2, organ_classes=15)
    configuration = plans["configurations"]["3d_fullres"]
    arch = configuration["architecture"]
    kwargs = arch["arch_kwargs"]
    assert arch["network_class_name"] == "clickpet.nnunet.network.DualHeadResidualEncoderUNet"
    assert kwargs["organ_classes"] == 15
    assert kwargs["n_stages"] == 6
    assert kwargs["strides"] == [[1, 1, 1]] + [[2, 2, 2]] * 5
    assert kwargs["features_per_stage"] == [32, 64, 128, 256, 320, 320]
    assert kwargs["n_blocks_per_stage"] == [1, 3, 4, 6, 6, 6]
    assert configuration["patch_size"] == [192, 192, 192]
    assert configuration["batch_size"] == 2
    assert configuration["batch_dice"] is False
    assert stock["configurations"]["3d_fullres"]["architecture"] != arch


def test_without_organs_it_is_the_plain_network(stock):
    plans = network_plans(stock, patch_size=[32, 32, 32], batch_size=2, organ_classes=0)
    arch = plans["configurations"]["3d_fullres"]["architecture"]
    assert arch["network_class_name"].endswith("ResidualEncoderUNet")
    assert "organ_classes" not in arch["arch_kwargs"]


def test_a_small_patch_gets_the_batch_dice(stock):
    plans = network_plans(stock, patch_size=[8, 16, 16], batch_size=2, organ_classes=0)
    assert plans["configurations"]["3d_fullres"]["batch_dice"] is True


def test_a_patch_that_does_not_fit_is_told_with_one_that_does(stock):
    with pytest.raises(InputError, match=r"use \[192, 192, 192\]"):
        network_plans(stock, patch_size=[190, 190, 190], batch_size=2, organ_classes=0)


def test_too_few_features_are_told(stock):
    with pytest.raises(InputError, match="6 stages"):
        network_plans(stock, patch_size=[192] * 3, batch_size=2, organ_classes=0, topology=Topology([8, 16]))
