"""The clicks of a study as arrays."""

import numpy as np
import pytest
from click_files import TWO

from clickpet.clicks.model import Clicks


class TestClicks:
    def test_dtype_and_shape(self):
        clicks = Clicks([[1, 2, 3]], [])
        assert clicks.tumor.dtype == np.int64
        assert clicks.tumor.shape == (1, 3)
        assert clicks.background.shape == (0, 3)

    def test_first_takes_of_both_kinds(self):
        assert TWO.first(2) == Clicks([[1, 2, 3], [39, 29, 49]], [[0, 0, 0]])
        assert TWO.first(0) == Clicks.empty()
        assert TWO.first(99) == TWO

    def test_first_refuses_negative(self):
        with pytest.raises(ValueError, match="-1"):
            TWO.first(-1)

    def test_equality_is_by_value_and_order(self):
        assert Clicks([[1, 2, 3], [4, 5, 6]], []) != Clicks([[4, 5, 6], [1, 2, 3]], [])
        assert TWO != "clicks"
