"""Polygons of planar contours: filling them by the even-odd rule, area, overlap and repetition."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

#: Contours whose outlines lie nowhere farther apart than this are one contour that was stored twice.
SAME_OUTLINE_MM = 0.5
#: Points that lie this far on the other side of an outline make two contours cross rather than touch.
CROSSING_MM = 0.5
#: Outlines are compared at points this far apart, at most.
_STEP_MM = 1.0
#: Number of points that long outlines are compared at.
_MOST_POINTS = 150


def fill_polygons(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels (x, y) of a grid whose centres lie inside `polygons`, by the even-odd rule over all of them together.

    polygons : (points, 2) each, in pixel coordinates (the centre of the first pixel is 0, 0), closed implicitly.
    Returns bool (x, y). A centre exactly on an edge counts at the edge's lower side only, so that two polygons that
    share an edge never both hold it.
    """
    edges = np.concatenate([np.hstack([polygon, np.roll(polygon, -1, axis=0)]) for polygon in polygons])
    x0, y0, x1, y1 = edges[edges[:, 1] != edges[:, 3]].T
    first, end = (np.clip(np.ceil(pick(y0, y1)), 0, shape[1]).astype(int) for pick in (np.minimum, np.maximum))
    counts = end - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    crossings = x0[edge] + (rows - y0[edge]) * ((x1 - x0) / (y1 - y0))[edge]
    columns = np.clip(np.ceil(crossings), 0, shape[0]).astype(int)
    flips = np.bincount(columns * shape[1] + rows, minlength=(shape[0] + 1) * shape[1]) % 2 == 1
    return np.logical_xor.accumulate(flips.reshape(shape[0] + 1, shape[1]), axis=0)[:-1]


def box_area_mm2(polygon: np.ndarray) -> float:
    """Area of the box around a polygon (points, 2) in mm."""
    return float(np.prod(np.ptp(polygon, axis=0)))


def same_outline(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two polygons (points, 2) in mm have outlines that lie nowhere farther apart than SAME_OUTLINE_MM."""
    if np.abs([one.min(axis=0) - other.min(axis=0), one.max(axis=0) - other.max(axis=0)]).max() > SAME_OUTLINE_MM:
        return False
    return all(
        distances_mm(_sampled(points), outline).max() <= SAME_OUTLINE_MM
        for points, outline in ((one, other), (other, one))
    )


def crossing(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two polygons (points, 2) in mm overlap in part: neither apart, nor one inside the other."""
    for polygon, outline in ((one, other), (other, one)):
        points = _sampled(polygon)
        inside = contains(outline, points)
        if inside.any() and not inside.all():
            clear = distances_mm(points, outline) > CROSSING_MM
            if np.any(inside & clear) and np.any(~inside & clear):
                return True
    return False


def boxes_meet(polygons: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of polygons whose boxes overlap."""
    low = np.array([polygon.min(axis=0) for polygon in polygons])
    high = np.array([polygon.max(axis=0) for polygon in polygons])
    meet = np.all((low[:, None] <= high[None]) & (low[None] <= high[:, None]), axis=2)
    return [(int(one), int(other)) for one, other in np.argwhere(np.triu(meet, 1))]


def contains(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points (n, 2) lie inside a polygon (points, 2), by the even-odd rule; bool (n,)."""
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    x, y = points[:, :1], points[:, 1:]
    between = (y0 <= y) != (y1 <= y)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    return np.count_nonzero(between & (x0 + (y - y0) * ((x1 - x0) / rise) < x), axis=1) % 2 == 1


def distances_mm(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Distance (n,) of points (n, 2) to a polygon's outline."""
    along = np.roll(polygon, -1, axis=0) - polygon  # edges, 2
    apart = points[:, None] - polygon  # n, edges, 2
    lengths = np.einsum("ej,ej->e", along, along)
    share = np.einsum("nej,ej->ne", apart, along) / np.where(lengths == 0, 1.0, lengths)
    apart -= np.clip(share, 0, 1)[:, :, None] * along
    return np.sqrt(np.einsum("nej,nej->ne", apart, apart).min(axis=1))


def _sampled(polygon: np.ndarray) -> np.ndarray:
    """Points along a polygon's outline, corners and between, about _MOST_POINTS of them at most."""
    ends = np.roll(polygon, -1, axis=0)
    lengths = np.linalg.norm(ends - polygon, axis=1)
    step = max(_STEP_MM, lengths.sum() / _MOST_POINTS)
    parts = [polygon[:: max(1, len(polygon) // _MOST_POINTS)]]
    for start, end, length in zip(polygon, ends, lengths, strict=True):
        between = int(length // step)
        if between:
            parts.append(start + (end - start) * (np.arange(1, between + 1) / (between + 1))[:, None])
    return np.concatenate(parts)
