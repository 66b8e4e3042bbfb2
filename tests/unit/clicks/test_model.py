"""The clicks of a study as arrays."""

import numpy as np
import pytest
from click_files import TWO

from clickpet.clicks.model import Clicks, Interaction


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


class TestInteractions:
    LINE = Interaction("tumor", [[1, 1, 1], [1, 2, 1], [1, 3, 1]])
    DOT = Interaction("background", [[5, 5, 5]])
    CLICKS = Clicks.from_interactions([DOT, LINE, Interaction("tumor", [[9, 9, 9]])])

    def test_points_are_voxels(self):
        assert self.DOT.points.dtype == np.int64
        assert Interaction("tumor", [1, 2, 3]).points.tolist() == [[1, 2, 3]]
        assert Interaction("background", np.array([[5, 5, 5]])) == self.DOT
        assert Interaction("tumor", [[5, 5, 5]]) != self.DOT

    @pytest.mark.parametrize(("kind", "points"), [("lesion", [[1, 2, 3]]), ("tumor", [])])
    def test_refused(self, kind, points):
        with pytest.raises(ValueError, match="interaction"):
            Interaction(kind, points)

    def test_every_click_alone_by_default(self):
        assert [len(one.points) for one in TWO.interactions()] == [1, 1, 1, 1]
        assert [one.kind for one in TWO.interactions()] == ["tumor"] * 3 + ["background"]
        assert Clicks.from_interactions(TWO.interactions()) == TWO
        assert Clicks.empty().interactions() == []

    def test_order_and_points_are_kept(self):
        assert self.CLICKS.interactions() == [self.DOT, self.LINE, Interaction("tumor", [[9, 9, 9]])]
        assert self.CLICKS.tumor.tolist() == [[1, 1, 1], [1, 2, 1], [1, 3, 1], [9, 9, 9]]
        assert self.CLICKS.sizes("tumor") == [3, 1]
        assert self.CLICKS.most == 2

    def test_first_counts_interactions(self):
        assert self.CLICKS.first(1).interactions() == [self.DOT, self.LINE]
        assert self.CLICKS.first(0) == Clicks.empty()
        assert self.CLICKS.first(2) == self.CLICKS

    def test_a_scribble_is_not_its_points_one_by_one(self):
        assert Clicks.from_interactions([self.LINE]) != Clicks(self.LINE.points, [])

    def test_which_kind_came_first_does_not_matter(self):
        assert Clicks.from_interactions([self.LINE, self.DOT]) == Clicks.from_interactions([self.DOT, self.LINE])

    @pytest.mark.parametrize(
        "groups", [[("tumor", 2)], [("tumor", 1)] * 4, [("tumor", 3), ("lesion", 1)], [("tumor", 0)]]
    )
    def test_groups_take_all_points(self, groups):
        with pytest.raises(ValueError, match="group"):
            Clicks([[1, 2, 3]] * 3, [], groups)
