"""Outlines of binary images along the edges of their pixels: polygons that enclose exactly the area of the pixels.

Coordinates are pixel indices: the centre of pixel (i, j) is at (i, j), its corners at i +- 0.5 and j +- 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

#: Steps along the edges of pixels: right, up, left, down in (x, y).
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True, eq=False)
class Outline:
    """Border of one 4-connected part of a binary image.

    outer : float (points, 2), corners of its outer border, the part on the left hand;  holes : corners of the border
    of each hole, the part on the left hand too, so that holes run the other way round.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...]

    @property
    def keyhole(self) -> np.ndarray:
        """Outer border and holes as one polygon: each hole is joined to the rest by a channel of no width.

        What DICOM asks of a closed planar contour with holes (PS3.3 C.8.8.6.3). The channel runs between the nearest
        corners of a hole and the polygon so far.
        """
        polygon = self.outer
        holes = list(self.holes)
        while holes:
            distances = [((polygon[:, None] - hole) ** 2).sum(axis=2) for hole in holes]
            which = int(np.argmin([apart.min() for apart in distances]))
            at, begin = np.unravel_index(distances[which].argmin(), distances[which].shape)
            hole = np.roll(holes.pop(which), -begin, axis=0)
            polygon = np.concatenate([polygon[: at + 1], hole, hole[:1], polygon[at:]])
        return polygon


def trace_outlines(image: np.ndarray) -> list[Outline]:
    """Outlines of the 4-connected parts of a binary image (x, y), in the order of their first pixel.

    Pixels that touch at a corner only are parts of their own. No pixel: no outline.
    """
    labels, _ = ndimage.label(image)
    outlines = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        corner = np.array([part.start for part in box]) - 0.5
        loops = [loop + corner for loop in _loops(labels[box] == number)]
        (outer,) = (loop for loop in loops if signed_area(loop) > 0)
        outlines.append(Outline(outer, tuple(loop for loop in loops if signed_area(loop) < 0)))
    return outlines


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon (points, 2), positive where it runs counter-clockwise in (x, y)."""
    after = np.roll(polygon, -1, axis=0)
    return float(np.sum(polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]) / 2)


def _loops(part: np.ndarray) -> list[np.ndarray]:
    """Closed borders of one 4-connected part, bool (x, y), as lattice corners with the part on the left hand."""
    edges = _border_edges(part)
    loops = []
    while edges:
        first = place, heading = next(iter(edges))
        corners, closed = [], False
        while not closed:
            edges.pop((place, heading), None)
            dx, dy = _STEPS[heading]
            place = place[0] + dx, place[1] + dy
            # where pixels touch at a corner only, the way to the left stays with the pixel it came along
            ahead = [(heading + turn) % 4 for turn in (1, 0, 3)]
            onward = next(way for way in ahead if (place, way) in edges or (place, way) == first)
            if onward != heading:
                corners.append(place)
            closed = (place, onward) == first
            heading = onward
        loops.append(np.array(corners, float))
    return loops


def _border_edges(part: np.ndarray) -> dict[tuple[tuple[int, int], int], None]:
    """Directed edges between the part and the rest: (first corner, index of the step), in a fixed order."""
    padded = np.pad(part, 1)
    beyond = (padded[1:-1, :-2], padded[2:, 1:-1], padded[1:-1, 2:], padded[:-2, 1:-1])
    first_corner = ((0, 0), (1, 0), (1, 1), (0, 1))
    edges = {}
    for heading, (other, (dx, dy)) in enumerate(zip(beyond, first_corner, strict=True)):
        for x, y in np.argwhere(part & ~other).tolist():
            edges[(x + dx, y + dy), heading] = None
    return edges
