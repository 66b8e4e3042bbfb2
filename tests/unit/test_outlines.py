"""clickpet.outlines against the pixels that the polygons enclose."""

import numpy as np
import pytest
from scipy import ndimage

from clickpet.dicom.polygons import contains
from clickpet.outlines import signed_area, trace_outlines


def filled(outlines, shape) -> np.ndarray:
    """Pixels whose centres are inside an odd number of keyhole polygons (a slow oracle)."""
    centres = np.argwhere(np.ones(shape, bool)).astype(float)
    inside = np.zeros(shape, int)
    for outline in outlines:
        inside += contains(outline.keyhole, centres).reshape(shape)
    return inside % 2 == 1


def shapes() -> list[np.ndarray]:
    ring = np.ones((5, 6), bool)
    ring[2, 2:4] = False
    island = np.zeros((9, 9), bool)
    island[1:8, 1:8] = True
    island[2:7, 2:7] = False
    island[4, 4] = True
    diagonal = np.eye(4, dtype=bool)
    two_holes = np.ones((4, 8), bool)
    two_holes[1, 1] = two_holes[2, 2] = two_holes[1, 5] = False  # two of them touch at a corner
    closed_at_a_corner = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    return [np.ones((1, 1), bool), ring, island, diagonal, two_holes, closed_at_a_corner, np.zeros((3, 3), bool)]


@pytest.mark.parametrize("image", shapes())
def test_outlines_enclose_the_pixels_and_nothing_else(image):
    outlines = trace_outlines(image)
    np.testing.assert_array_equal(filled(outlines, image.shape), image)
    area = sum(signed_area(loop) for outline in outlines for loop in (outline.outer, *outline.holes))
    assert area == image.sum()
    assert sum(signed_area(outline.keyhole) for outline in outlines) == pytest.approx(image.sum())
    assert len(outlines) == ndimage.label(image)[1]


@pytest.mark.parametrize("seed", range(6))
def test_noise(seed):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(size=(24, 31)), rng.uniform(0, 2)) > 0
    outlines = trace_outlines(image)
    np.testing.assert_array_equal(filled(outlines, image.shape), image)
    assert sum(signed_area(outline.keyhole) for outline in outlines) == pytest.approx(image.sum())
    holes = sum(len(outline.holes) for outline in outlines)
    background, _ = ndimage.label(~np.pad(image, 1), structure=np.ones((3, 3)))
    assert holes <= background.max() - 1


def test_corners_only_and_no_point_twice_in_a_row():
    (outline,) = trace_outlines(np.ones((3, 4), bool))
    np.testing.assert_array_equal(sorted(outline.outer.tolist()), [[-0.5, -0.5], [-0.5, 3.5], [2.5, -0.5], [2.5, 3.5]])
    assert outline.holes == ()
    np.testing.assert_array_equal(outline.keyhole, outline.outer)
    assert signed_area(outline.outer) == 12


def test_a_keyhole_goes_in_and_out_by_one_channel():
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    (outline,) = trace_outlines(ring)
    (hole,) = outline.holes
    assert signed_area(hole) == -1
    assert len(outline.keyhole) == 4 + 4 + 2
    assert len({tuple(point) for point in outline.keyhole.tolist()}) == 8


def test_the_order_is_that_of_the_first_pixels():
    image = np.zeros((6, 6), bool)
    image[4, 1] = image[0, 5] = image[2, 3] = True
    starts = [outline.outer.mean(axis=0).tolist() for outline in trace_outlines(image)]
    assert starts == [[0, 5], [2, 3], [4, 1]]
