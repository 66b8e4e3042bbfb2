"""Removal of weak components against a plain loop, on both sides of its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from clickpet.components import mean_of_components
from clickpet.errors import InputError
from clickpet.postprocess.weak_components import drop_weak_components

CORNERS = np.ones((3, 3, 3))


@settings(deadline=None)
@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8)),
    seed=st.integers(0, 2**31),
    limits=st.tuples(st.sampled_from([0.0, 3.0, 7.5]), st.sampled_from([0.0, 0.5, 0.75])),
    clicks=st.integers(0, 3),
    order=st.sampled_from([np.ascontiguousarray, np.asfortranarray]),
)
def test_equals_a_loop_over_components(mask, seed, limits, clicks, order):
    random = np.random.default_rng(seed)
    suv = random.integers(0, 16, mask.shape) / 2
    map_of_probability = (random.integers(0, 5, mask.shape) / 4).astype(np.float16)
    points = random.integers(0, mask.shape, (clicks, 3))
    labels, count = ndimage.label(mask, CORNERS)
    expected = mask.copy()
    means = []
    for number in range(1, count + 1):  # in the order of their first voxels
        component = labels == number
        means.append(map_of_probability[component].astype(float).mean())
        weak = suv[component].max() < limits[0] or means[-1] < limits[1]
        if weak and not component[tuple(points.T)].any():
            expected[component] = False
    probability = mean_of_components(order(mask), map_of_probability, 26)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, means, rtol=1e-6)
    kept = drop_weak_components(
        order(mask),
        suv,
        min_suv_max=limits[0],
        min_probability=limits[1],
        probability=np.array(means),
        protected=points,
    )
    np.testing.assert_array_equal(kept, expected)


def test_both_limits_keep_what_equals_them_and_size_does_not_matter():
    mask, suv = np.zeros((20, 4, 4), bool), np.zeros((20, 4, 4))
    mask[0], mask[5:15], mask[18:] = True, True, True
    suv[0], suv[5:15], suv[18:] = 5, 4.99, 6
    kept = drop_weak_components(mask, suv, min_suv_max=5)
    assert kept[0].all() and kept[18:].all() and not kept[5:15].any()  # noqa: PT018
    kept = drop_weak_components(mask, suv, min_probability=0.8, probability=np.array([0.8, 0.9, 0.79]))
    assert kept[0].all() and kept[5:15].all() and not kept[18:].any()  # noqa: PT018


def test_what_is_not_known_stays():
    mask = np.ones((2, 2, 2), bool)
    assert drop_weak_components(mask, np.full(mask.shape, np.nan), min_suv_max=5).all()
    assert drop_weak_components(mask, mask * 9.0, min_probability=0.8, probability=np.array([np.nan])).all()


def test_probabilities_that_are_missing_or_of_another_mask_are_refused():
    mask = np.ones((2, 2, 2), bool)
    with pytest.raises(InputError, match="is not known; predict again"):
        drop_weak_components(mask, mask * 1.0, min_probability=0.8)
    with pytest.raises(InputError, match="2 probabilities for the 1 components of a mask; predict again"):
        drop_weak_components(mask, mask * 1.0, min_probability=0.8, probability=np.array([0.5, 0.6]))
