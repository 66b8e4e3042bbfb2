"""The rotating projection: a view is the maximum along its line of sight, and the first ones are known planes."""

import numpy as np
import pytest

from clickpet.report.case_figure import OUTCOME_COLOURS, WINDOW_MAX_SUV
from clickpet.report.rotation import PIXEL_MM, VIEWS, draw_rotation

SHAPE = (21, 21, 12)
RAS = np.diag([PIXEL_MM, PIXEL_MM, PIXEL_MM, 1])


def views(suv, affine=RAS, **options):
    """The views of a study, each as dark (rows, columns): 0 for air, 1 for what is at the window's end."""
    options.setdefault("lesions", np.zeros(suv.shape, bool))
    picture = draw_rotation(suv, options.pop("lesions"), affine, **options)
    assert picture.dtype == np.uint8
    assert picture.shape[1] % VIEWS == 0
    return 1 - np.array(np.split(picture[..., 0], VIEWS, axis=1)) / 255


def body(spots=()):
    """A cylinder of faint uptake with single hot voxels."""
    x, y, _ = np.indices(SHAPE) - 10
    suv = np.where(x**2 + y**2 < 90, 0.5, 0).astype(np.float32)
    for spot in spots:
        suv[spot] = 50
    return suv


def hot(view):
    """Rows and columns from the middle of what is black."""
    rows, columns = np.nonzero(view == view.max())
    return sorted(zip(rows.tolist(), (columns - (view.shape[1] - 1) / 2).tolist(), strict=True))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_the_first_view_is_from_the_front_and_a_quarter_turn_from_the_left_side(flips):
    # a spot to the patient's right, in front, near the head
    spot = tuple(
        place if flip > 0 else size - 1 - place for place, flip, size in zip((16, 13, 10), flips, SHAPE, strict=True)
    )
    found = views(body([spot]), np.diag([*(PIXEL_MM * np.array(flips)), 1]))
    ((row, column),) = hot(found[0])
    assert (row, column) == (1, pytest.approx(-6, abs=0.5))  # right is on the viewer's left
    ((row, column),) = hot(found[VIEWS // 2])
    assert (row, column) == (1, pytest.approx(-3, abs=0.5))  # the front is on the viewer's left


def test_every_view_sees_a_spot_where_the_turn_puts_it():
    found = views(body([(16, 13, 10)]))
    for number, view in enumerate(found):
        angle = np.pi * number / VIEWS
        expected = -(6 * np.cos(angle) + 3 * np.sin(angle))
        assert min(abs(column - expected) for _, column in hot(view)) <= 1


def test_a_hot_voxel_smaller_than_a_pixel_is_seen_in_every_view():
    fine = np.zeros((80, 80, 30), np.float32)
    fine[10:70, 10:70] = 0.5
    fine[33, 52, 17] = 50
    found = views(fine, np.diag([0.8, 0.8, 1.1, 1]))
    assert (found.max(axis=(1, 2)) == 1).all()


def test_air_at_the_sides_is_cut_off_evenly():
    suv = np.zeros((101, 81, 12), np.float32)
    suv[40:61, 30:51] = 1
    suv[70:73, 40:43] = 1  # an arm
    dark = views(suv)
    used = dark.max(axis=(0, 1)) > 0
    assert used[0] or used[-1]
    assert len(used) < np.hypot(101, 81)


def test_lesions_have_the_colours_of_the_case_figure():
    masks = {name: np.zeros(SHAPE, bool) for name in ("found", "missed", "false")}
    masks["found"][5, 10, 2], masks["missed"][10, 10, 5], masks["false"][15, 10, 9] = True, True, True
    picture = draw_rotation(
        body(), masks["found"] | masks["false"], RAS, truth=masks["found"] | masks["missed"]
    ).astype(int)
    for row, name in ((9, "matched"), (6, "missed"), (2, "false")):
        colour = np.array([int(OUTCOME_COLOURS[name][start : start + 2], 16) for start in (1, 3, 5)])
        tinted = picture[row][(np.ptp(picture[row], axis=-1) > 0)]
        assert len(tinted) == VIEWS
        assert (np.argsort(tinted, axis=-1) == np.argsort(colour)).all()


@pytest.mark.parametrize("edges_mm", [(3, 3, 3), (2.04, 2.04, 3), (4.07, 4.07, 5), (6, 6, 9), (0.8, 0.9, 1.1)])
def test_a_body_has_no_gaps_at_any_voxel_size(edges_mm):
    shape = [int(120 // edge) for edge in edges_mm]
    dark = views(np.ones(shape, np.float32), np.diag([*edges_mm, 1]))
    for view in dark:
        used = view > 0
        columns = np.flatnonzero(used.any(axis=0))
        assert used[:, columns[0] : columns[-1] + 1].all()


def test_views_agree_with_projecting_voxel_by_voxel():
    rng = np.random.default_rng(3)
    suv = rng.random((9, 7, 5), dtype=np.float32) * 6
    dark = views(suv)
    width = dark.shape[2]
    for number, view in enumerate(dark):
        angle, slow = np.pi * number / VIEWS, np.zeros((5, width))
        for i, j, k in np.ndindex(suv.shape):
            across = -((i - 4) * np.cos(angle) + (j - 3) * np.sin(angle))
            column = int(np.floor(across + width / 2 + 1e-6))
            slow[4 - k, column] = max(slow[4 - k, column], suv[i, j, k])
        np.testing.assert_allclose(view, np.clip(slow / WINDOW_MAX_SUV["fdg"], 0, 1), atol=0.003)


def test_an_empty_scan():
    assert (views(np.zeros(SHAPE, np.float32)) == 0).all()
