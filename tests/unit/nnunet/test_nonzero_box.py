"""The bounding box of what is not zero."""

import numpy as np
import pytest

from clickpet.nnunet.nonzero_box import intersection, nonzero_box, union


def test_nonzero_box():
    array = np.zeros((5, 6, 7), np.float32)
    assert nonzero_box([array]) == (slice(0, 5), slice(0, 6), slice(0, 7))
    array[2, 3, 1] = array[3, 3, 4] = -1
    other = np.zeros_like(array)
    other[2, 5, 6] = 1
    assert nonzero_box([array]) == (slice(2, 4), slice(3, 4), slice(1, 5))
    assert nonzero_box([array, other]) == (slice(2, 4), slice(3, 6), slice(1, 7))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("seed", range(5))
def test_nonzero_box_is_that_of_the_indices(order, seed):
    rng = np.random.default_rng(seed)
    array = np.zeros((9, 8, 7), bool, order=order)
    array[tuple(rng.integers(0, length, seed + 1) for length in array.shape)] = True
    box = tuple(slice(int(index.min()), int(index.max()) + 1) for index in np.nonzero(array))
    assert nonzero_box([array]) == box
    assert nonzero_box([array.transpose(2, 0, 1)]) == (box[2], box[0], box[1])


def test_boxes_meet_and_join():
    one, other = (slice(2, 5), slice(0, 3), slice(1, 2)), (slice(4, 9), slice(2, 4), slice(0, 7))
    assert intersection(one, other) == (slice(4, 5), slice(2, 3), slice(1, 2))
    assert union(one, other) == (slice(2, 9), slice(0, 4), slice(0, 7))
    assert intersection(one, (slice(5, 9), slice(0, 3), slice(0, 7))) is None
    assert intersection(one, None) is None
