"""The picture of a case: what counts as found, missed and false, and where it is drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from clickpet.clicks.model import Clicks
from clickpet.report.case_figure import WINDOW_MAX_SUV, draw_case, lesion_outcome, window_max_suv
from clickpet.report.style import save_png

SHAPE = (12, 10, 14)
EIGHTEEN = ndimage.generate_binary_structure(3, 2)


def boxes(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


def slow_untouched(mask, other):
    labels, count = ndimage.label(mask, EIGHTEEN)
    kept = np.zeros(mask.shape, bool)
    for number in range(1, count + 1):
        component = labels == number
        if not (component & other).any():
            kept |= component
    return kept


@settings(max_examples=40, deadline=None)
@given(*[arrays(bool, (5, 4, 6), elements=st.sampled_from([False, False, True]))] * 2)
def test_outcome_agrees_with_the_definitions(lesions, truth):
    outcome = lesion_outcome(lesions, truth)
    false = slow_untouched(lesions, truth)
    np.testing.assert_array_equal(outcome.false, false)
    np.testing.assert_array_equal(outcome.missed, slow_untouched(truth, lesions))
    np.testing.assert_array_equal(outcome.matched, lesions & ~false)


def test_outcome_of_empty_masks():
    empty, some = boxes(), boxes(np.s_[1:3, 1:3, 1:3])
    assert lesion_outcome(empty, some).missed.sum() == 8
    assert lesion_outcome(some, empty).false.sum() == 8
    assert not any(mask.any() for mask in vars(lesion_outcome(empty, empty)).values())


def views(figure):
    """The pixels of the coronal and the sagittal panel, without colours of layers."""
    return [panel.images[0].get_array() for panel in figure.axes[:2]]


@pytest.mark.parametrize("affine", [np.diag([2.0, 2, 3, 1]), np.diag([-2.0, 2, 3, 1]), np.diag([-2.0, -2, -3, 1])])
def test_right_is_left_and_head_is_up_whatever_the_orientation(affine):
    # A hot spot in the patient's right, front, upper corner of a body that fills the volume.
    suv = np.ones(SHAPE, np.float32)
    spot = [10 if affine[0, 0] > 0 else 1, 8 if affine[1, 1] > 0 else 1, 12 if affine[2, 2] > 0 else 1]
    suv[tuple(spot)] = 7
    figure = draw_case(suv, boxes(), affine, clicks=Clicks([spot], []))
    coronal, sagittal = views(figure)
    assert coronal.shape == (14, 12)
    assert sagittal.shape == (14, 10)
    assert np.argwhere(coronal == 7).tolist() == [[12, 1]]  # rows upwards, columns from the patient's right
    assert np.argwhere(sagittal == 7).tolist() == [[12, 1]]  # columns from the front
    for panel, edge in zip(figure.axes[:2], (2, 2), strict=True):
        click = next(line for line in panel.lines if line.get_marker() == "+")
        assert (click.get_xdata()[0], click.get_ydata()[0]) == (1.5 * edge, 12.5 * 3)


def test_panels_are_in_millimetres():
    figure = draw_case(np.ones(SHAPE, np.float32), boxes(), np.diag([2.0, 4, 3, 1]))
    assert figure.axes[0].get_xlim() == (0, 24)
    assert figure.axes[1].get_xlim() == (0, 40)
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim() == (0, 42)


def test_the_window_is_that_of_the_tracer_and_told():
    assert WINDOW_MAX_SUV["fdg"] < WINDOW_MAX_SUV["psma"]
    assert window_max_suv("") == WINDOW_MAX_SUV["fdg"]
    for tracer, highest in WINDOW_MAX_SUV.items():
        figure = draw_case(np.ones(SHAPE, np.float32), boxes(), np.eye(4), tracer=tracer)
        coronal, sagittal, bar = figure.axes
        assert coronal.images[0].get_clim() == sagittal.images[0].get_clim() == (0, highest)
        assert [tick.get_text() for tick in bar.get_yticklabels()] == ["0", f"{highest:g}"]


def test_sides_and_scale_are_marked():
    figure = draw_case(np.ones((60, 50, 70), np.float32), np.zeros((60, 50, 70), bool), np.diag([4.0, 4, 4, 1]))
    texts = [[text.get_text() for text in panel.texts] for panel in figure.axes[:2]]
    assert texts == [["R", "L", "10 cm"], ["A", "P", "10 cm"]]
    for panel in figure.axes[:2]:
        start, end = panel.lines[-1].get_xdata()
        assert end - start == 100


def test_layers_hold_matched_missed_and_false_lesions():
    suv = np.ones(SHAPE, np.float32)
    truth = boxes(np.s_[1:3, 1:3, 1:3], np.s_[6:8, 6:8, 6:8])
    lesions = boxes(np.s_[1:4, 1:3, 1:3], np.s_[9:11, 1:3, 10:13])
    figure = draw_case(suv, lesions, np.eye(4), truth=truth)
    colours = {}
    for image in figure.axes[0].images[1:]:
        array = np.asarray(image.get_array())
        pixels = array[..., 3] > 0
        colours[tuple(np.round(array[pixels][0, :3], 2))] = int(pixels.sum())
    assert colours == {(0.0, 0.62, 0.45): 6, (0.0, 0.45, 0.7): 6, (0.84, 0.37, 0.0): 4}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "missed lesion" in labels
    assert "tumour click (n = 0)" in labels


def test_without_truth_nothing_is_called_missed_or_false():
    figure = draw_case(np.ones(SHAPE, np.float32), boxes(np.s_[1:3, 1:3, 1:3]), np.eye(4))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "predicted lesion (no truth given)" in labels
    assert not any("missed" in label or "false" in label for label in labels)


def test_an_empty_scan_is_drawn_and_equal_scans_are_equal_files(tmp_path):
    figure = draw_case(np.zeros(SHAPE, np.float32), boxes(), np.eye(4), truth=boxes())
    save_png(figure, tmp_path / "a.png", dpi=50)
    again = draw_case(np.zeros(SHAPE, np.float32), boxes(), np.eye(4), truth=boxes())
    save_png(again, tmp_path / "b.png", dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 200
        assert not {"Software", "Creation Time", "date"} & set(picture.info)
