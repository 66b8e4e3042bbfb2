"""Interaction in rounds: heatmaps of scribbles and their simulation, on the grid of a whole-body study.

Five scribbles of sixty points each, as after five rounds, in a PET of 400 x 400 x 326 voxels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import compare
from scipy.ndimage import gaussian_filter, label

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.scribbles import draw_scribble, simulate_scribble

SHAPE = (400, 400, 326)
KINDS = ("tumor", "background", "tumor", "background", "tumor")
POINTS = 60


def rows() -> Iterator[dict]:
    """Give a row for each step."""
    rng = np.random.default_rng(0)
    suv = np.asfortranarray(rng.gamma(2, 2, SHAPE[::-1]).astype(np.float32).T)
    scribbles = Clicks.from_interactions(Interaction(kind, line(rng)) for kind in KINDS)
    suv[tuple(scribbles.tumor.T)] += 5  # a tumour scribble is drawn into uptake
    clicks = Clicks(rng.integers(60, 260, (10, 3)), rng.integers(60, 260, (10, 3)))
    yield compare(
        f"heatmap, {len(KINDS)} scribbles of {POINTS} points",
        lambda: draw_heatmap(suv, clicks),
        lambda: draw_heatmap(suv, scribbles),
        goal=1,
        largest_input=suv.nbytes,
        reference_repeats=5,
        note="reference: our heatmap of 10 + 10 clicks",
    )
    first = Clicks.from_interactions(scribbles.interactions()[:1])
    expected = plain_tube(suv, first)
    if np.abs(draw_heatmap(suv, first) - expected).max() > 1e-5:
        raise ValueError("the tube and its reference differ")
    yield compare(
        f"tube of one scribble of {POINTS} points",
        lambda: plain_tube(suv, first),
        lambda: draw_heatmap(suv, first),
        goal=5,
        largest_input=suv.nbytes,
        note="reference: each point's Gaussian in its window",
    )
    truth, predicted = masks(rng)
    yield compare(
        "simulation of a corrective scribble",
        lambda: plain_scribble(predicted, truth),
        lambda: simulate_scribble(predicted, truth, "centerline", np.random.RandomState(0)),
        goal=5,
        largest_input=truth.nbytes,
        note="reference: every slice labelled",
    )


def line(rng) -> np.ndarray:
    """A scribble: a wavy line in one slice."""
    x, y, z = rng.integers(80, 240, 3)
    steps = np.arange(POINTS)
    return np.stack([x + steps, y + np.round(5 * np.sin(steps / 6)).astype(int), np.full(POINTS, z)], axis=1)


def masks(rng) -> tuple[np.ndarray, np.ndarray]:
    """Truth with forty lesions, and a prediction that is shifted and misses some."""
    truth, predicted = np.zeros((2, *SHAPE[::-1]), np.uint8).transpose(0, 3, 2, 1)
    for number, (x, y, z) in enumerate(rng.integers(60, 300, (40, 3))):
        size = int(rng.integers(3, 14))
        truth[x : x + size, y : y + size, z : z + size] = 1
        if number % 4:
            predicted[x + 1 : x + 1 + size, y : y + size, z : z + size] = 1
    return truth, predicted


def plain_tube(suv: np.ndarray, clicks: Clicks) -> np.ndarray:
    """The maximum over the Gaussians of the points, each filtered in a window of its own."""
    heatmap = np.zeros(suv.shape, np.float32, order="F")
    for point in clicks.tumor.tolist():
        window = tuple(slice(index - 12, index + 13) for index in point)
        local = np.zeros((25, 25, 25))
        local[12, 12, 12] = 1
        local = gaussian_filter(local, 3, mode="constant")
        local[suv[window] < min(float(suv[tuple(point)]), 3)] = 0
        heatmap[window] = np.maximum(heatmap[window], local / local.max())
    return heatmap


def plain_scribble(predicted: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """The rules step by step: every slice of both errors is labelled."""
    drawn = []
    for error in ((truth != 0) & (predicted == 0), (predicted != 0) & (truth == 0)):
        best, largest = None, 0
        for index in range(error.shape[2]):
            labels, count = label(error[:, :, index], np.ones((3, 3)))
            sizes = np.bincount(labels.reshape(-1), minlength=count + 1)[1:]
            if count and sizes.max() > largest:
                best, largest = labels == 1 + int(np.argmax(sizes)), int(sizes.max())
        drawn.append(draw_scribble(best, "centerline", np.random.RandomState(0)))
    return drawn
