"""clickpet.report.lesion_slices: which slice is drawn, its sides, and that the order of axes does not matter."""

import numpy as np
import pytest

from clickpet.clicks.model import Clicks
from clickpet.evaluate.lesion_table import number_lesions
from clickpet.geometry import Turn
from clickpet.report import lesion_slices
from clickpet.report.lesion_slices import SliceStudy, draw_lesion_slice
from clickpet.report.style import png_bytes

AFFINE = np.array([[-4.0, 0, 0, 60], [0, 4, 0, -50], [0, 0, 5, 100], [0, 0, 0, 1]])  # LAS


def volumes():
    shape = (30, 26, 20)
    ct = np.full(shape, -1000.0, np.float32)
    ct[4:26, 4:22] = 40
    suv = np.full(shape, 0.5, np.float32)
    mask = np.zeros(shape, bool)
    mask[6:10, 8:12, 5:9] = True
    mask[7, 9, 9] = True
    mask[20, 15, 3] = True  # a second lesion, on the patient's left
    suv[mask] = 9
    return suv, ct, mask


def study(affine_to: str = "LAS", **options) -> SliceStudy:
    suv, ct, mask = volumes()
    turn = Turn.between(AFFINE, affine_to)
    affine = turn.affine(suv.shape, AFFINE)
    suv, ct, mask = (np.ascontiguousarray(turn.array(array)) for array in (suv, ct, mask))
    return SliceStudy.turned(suv, ct, number_lesions(mask), affine, truth=mask, **options)


def test_the_slice_is_the_one_that_holds_most_of_the_lesion():
    one = study()
    assert one.largest_slice(1) == 5
    assert one.largest_slice(2) == 3
    assert lesion_slices._frame(one, 1) == ((-8.0, 72.0), (24.0, 104.0))


def test_the_right_side_is_on_the_left_and_the_front_at_the_top():
    one = study()
    np.testing.assert_allclose(np.sign(np.diag(one.affine)[:3]), (-1, -1, 1))  # left, posterior, superior
    figure = draw_lesion_slice(one, 1, window_max_suv=10)
    whole, zoomed = figure.axes
    assert [text.get_text() for text in whole.texts][:2] == ["R", "L"]
    assert whole.get_xlim()[0] < whole.get_xlim()[1]
    assert whole.get_ylim()[0] > whole.get_ylim()[1]  # y grows downwards, to the back
    (bold,) = (lines for lines in zoomed.collections if lines.get_linewidths()[0] > 1)
    (loop,) = bold.get_paths()
    corners = {tuple(point) for point in loop.vertices.tolist()}
    assert corners == {(24.0, 56.0), (40.0, 56.0), (40.0, 72.0), (24.0, 72.0)}
    assert "z = 125 mm" in whole.get_title(loc="left")


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SLA"])
def test_the_order_of_axes_changes_nothing(axes):
    pictures = [png_bytes(draw_lesion_slice(study(order), 1, window_max_suv=10), dpi=40) for order in ("LAS", axes)]
    assert pictures[0] == pictures[1]


def test_clicks_are_drawn_on_their_slices_only():
    clicks = Clicks(tumor=np.array([[7, 9, 5], [7, 9, 15]]), background=np.array([[20, 20, 6]]))
    figure = draw_lesion_slice(study(clicks=clicks), 1, window_max_suv=10)
    drawn = {
        line.get_marker(): line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_marker() in "+x"
    }
    assert drawn == {"+": [[30.0, 66.0]], "x": [[82.0, 22.0]]}


def test_other_lesions_are_thin_and_the_truth_is_dashed():
    suv, ct, mask = volumes()
    mask[15, 15, 5] = True
    numbers = number_lesions(mask)
    one = SliceStudy.turned(suv, ct, numbers, AFFINE, truth=mask)
    figure = draw_lesion_slice(one, 1, window_max_suv=10)
    styles = [(len(lines.get_paths()), lines.get_linewidths()[0]) for lines in figure.axes[1].collections]
    assert styles == [(1, 0.6), (1, 1.3), (2, 0.9)]
