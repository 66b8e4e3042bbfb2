"""Simulation of corrective scribbles from the errors of a prediction, by the rules of autoPET V."""

from __future__ import annotations

import hashlib

import numpy as np

from clickpet.clicks.model import Interaction
from clickpet.clicks.points import size_text
from clickpet.components import RunLengthMask, encode_mask, iterate_voxels
from clickpet.errors import InputError

#: Ways to draw a scribble into a component of errors. autoPET V gives each a third of the studies.
SCRIBBLE_KINDS = ("centerline", "random", "boundary")
#: A centreline of more points than this loses a tenth of them at both ends.
TRIM_ABOVE_POINTS = 10
TRIMMED_PART = 0.1
#: Part of the border that a boundary scribble follows.
BOUNDARY_PART = 0.2
_EIGHT = np.ones((3, 3), bool)


def scribble_kind(study: str, seed: int) -> str:
    """The kind of scribble that a study gets in all its rounds, by its name and the seed: a third of studies each."""
    return SCRIBBLE_KINDS[_number(f"{seed} {study}") % len(SCRIBBLE_KINDS)]


def scribble_random(study: str, seed: int, round_number: int) -> np.random.RandomState:
    """Random numbers of one round of one study; numpy's frozen generator, the same on every machine."""
    return np.random.RandomState(_number(f"{seed} {study} {round_number}"))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def simulate_scribble(
    predicted: np.ndarray, truth: np.ndarray, kind: str, random: np.random.RandomState, *, axial_axis: int = 2
) -> Interaction | None:
    """The scribble by which a reader who knows the truth corrects a prediction; None where there is nothing to correct.

    predicted, truth : (x, y, z), non-zero is lesion;  kind : of SCRIBBLE_KINDS;  axial_axis : across the axial slices.

    Of what is missed (true, not predicted) and of what is too much (predicted, not true) the largest 8-connected
    component of any axial slice is taken (of equal ones that in the first slice, then that of the first voxel) and a
    scribble drawn into each by `draw_scribble`. The one with more points is the answer, as a tumour (missed) or as a
    background scribble (too much); of equal ones the tumour scribble. Points are in the order drawn.

    No error, or no lesion in the truth: None. Raises InputError for shapes that differ. Source: autoPET V, rounds.
    """
    if predicted.shape != truth.shape:
        raise InputError(
            f"prediction {size_text(predicted.shape)} and truth {size_text(truth.shape)} differ in shape",
            mend="bring both to one grid",
        )
    true_runs = encode_mask(truth)
    if not true_runs.voxels:
        return None
    missed, extra = _outside(true_runs, predicted), _outside(encode_mask(predicted), truth)
    drawn = []
    for which, error in (("tumor", missed), ("background", extra)):
        found = _largest_component(error, axial_axis)
        if found is not None:
            index, corner, component = found
            points = draw_scribble(component, kind, random) + corner
            drawn.append(Interaction(which, np.insert(points, axial_axis, index, axis=1)))
    return max(drawn, key=lambda scribble: len(scribble.points), default=None)


def _outside(encoded: RunLengthMask, other: np.ndarray) -> np.ndarray:
    """Voxels of a mask that are 0 in `other` (x, y, z): int64 (n, 3)."""
    parts = [np.zeros((0, 3), np.int64)]
    for _, _, index in iterate_voxels(encoded):
        wrong = other[index] == 0
        parts.append(np.stack([place[wrong] for place in index], axis=1))
    return np.concatenate(parts)


def largest_slice_component(mask: np.ndarray, axis: int = 2) -> tuple[int, np.ndarray] | None:
    """(slice, component): the largest 8-connected component in any slice across `axis`, bool of the slice's shape.

    mask : (x, y, z), non-zero counts. None if it is empty. Of equal ones that in the first slice, then that of the
    first voxel.
    """
    parts = [np.stack(index, axis=1) for _, _, index in iterate_voxels(encode_mask(mask))]
    found = _largest_component(np.concatenate([np.zeros((0, 3), np.int64), *parts]), axis)
    if found is None:
        return None
    index, corner, local = found
    component = np.zeros(np.delete(mask.shape, axis), bool)
    component[tuple(slice(begin, begin + length) for begin, length in zip(corner, local.shape, strict=True))] = local
    return index, component


def _largest_component(voxels: np.ndarray, axis: int) -> tuple[int, np.ndarray, np.ndarray] | None:
    """`largest_slice_component` of voxels, int64 (n, 3): the slice, the corner of a window in it, and what is in it."""
    from scipy.ndimage import label

    order = np.argsort(voxels[:, axis], kind="stable")
    slices, begins, counts = np.unique(voxels[order, axis], return_index=True, return_counts=True)
    flat = np.delete(voxels[order], axis, axis=1)
    best, largest = None, 0
    for place in np.argsort(-counts, kind="stable").tolist():
        if counts[place] < largest:
            break
        pixels = flat[begins[place] : begins[place] + counts[place]]
        corner = pixels.min(0)
        local = np.zeros(pixels.max(0) - corner + 1, bool)
        local[tuple((pixels - corner).T)] = True
        labels, count = label(local, _EIGHT)
        sizes = np.bincount(labels.reshape(-1), minlength=count + 1)[1:]
        size, index = int(sizes.max()), int(slices[place])
        if size > largest or (size == largest and index < best[0]):
            best, largest = (index, corner, labels == 1 + int(np.argmax(sizes))), size
    return best


def draw_scribble(component: np.ndarray, kind: str, random: np.random.RandomState) -> np.ndarray:
    """A scribble in one 8-connected component of a slice: int64 (n, 2), its pixels in the order drawn.

    component : bool (x, y), not empty;  kind : of SCRIBBLE_KINDS. A component of one pixel is its own scribble.
    All pixels lie in the component and each touches the one before over an edge or a corner.
    """
    pixels = np.argwhere(component)
    if len(pixels) < 2:
        return pixels
    corner = pixels.min(0)
    local = component[tuple(map(slice, corner, pixels.max(0) + 1))]
    drawn = {"centerline": _centerline, "random": _chord, "boundary": _boundary}[kind](local, random)
    return drawn + corner


def _centerline(component: np.ndarray, _random: np.random.RandomState) -> np.ndarray:
    """The longest path through the skeleton's largest part, a tenth cut off at both ends if it is long."""
    from scipy.ndimage import label
    from skimage.morphology import skeletonize

    parts, _ = label(skeletonize(component), _EIGHT)
    largest = int(np.argmax(np.bincount(parts.reshape(-1))[1:])) + 1
    pixels = np.argwhere(parts == largest)
    distance, before = _paths(pixels)
    start, end = np.unravel_index(int(np.argmax(distance)), distance.shape)
    path = pixels[_path(before, int(start), int(end))]
    cut = int(len(path) * TRIMMED_PART) if len(path) > TRIM_ABOVE_POINTS else 0
    return path[cut : len(path) - cut]


def _chord(component: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A straight line between two random pixels: its longest unbroken stretch inside."""
    from skimage.draw import line

    pixels = np.argwhere(component)
    first, last = pixels[random.choice(len(pixels), 2, replace=False)]
    points = np.stack(line(*first, *last), axis=1)
    inside = component[tuple(points.T)]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]])))
    stretches = ends.reshape(-1, 2)
    begin, stop = stretches[np.argmax(stretches[:, 1] - stretches[:, 0])]
    return points[begin:stop]


def _boundary(component: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """From a random pixel of the inner border along it, over a fifth of its pixels, to one side or the other."""
    from scipy.ndimage import binary_erosion

    pixels = np.argwhere(component & ~binary_erosion(component))
    start = int(random.randint(len(pixels)))
    wanted = max(1, round(len(pixels) * BOUNDARY_PART))
    steps, before = _paths(pixels, start, unweighted=True)
    reached = np.where(np.isfinite(steps), steps, -1)
    goals = np.flatnonzero(reached == min(wanted - 1, reached.max()))
    return pixels[_path(before[None], 0, int(goals[random.randint(len(goals))]))]


def _paths(pixels: np.ndarray, start: int | None = None, *, unweighted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and predecessors of the shortest 8-connected paths between pixels, (n, n), or from one of them, (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import cKDTree

    pairs = cKDTree(pixels).query_pairs(1.5, output_type="ndarray")
    lengths = np.linalg.norm(pixels[pairs[:, 0]] - pixels[pairs[:, 1]], axis=1)
    graph = coo_array((lengths, (pairs[:, 0], pairs[:, 1])), shape=(len(pixels),) * 2).tocsr()
    return dijkstra(graph, directed=False, indices=start, unweighted=unweighted, return_predecessors=True)


def _path(before: np.ndarray, row: int, end: int) -> list[int]:
    path = [end]
    while before[row, path[-1]] >= 0:
        path.append(int(before[row, path[-1]]))
    return path[::-1]
