"""The bounding box of what is not zero."""

import numpy as np

from clickpet.nnunet.nonzero_box import nonzero_box


def test_nonzero_box():
    array = np.zeros((5, 6, 7), np.float32)
    assert nonzero_box([array]) == (slice(0, 5), slice(0, 6), slice(0, 7))
    array[2, 3, 1] = array[3, 3, 4] = -1
    other = np.zeros_like(array)
    other[2, 5, 6] = 1
    assert nonzero_box([array]) == (slice(2, 4), slice(3, 4), slice(1, 5))
    assert nonzero_box([array, other]) == (slice(2, 4), slice(3, 6), slice(1, 7))
