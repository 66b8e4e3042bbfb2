"""Corrective clicks and scribbles from the errors of a prediction in a patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickpet.clicks.model import KINDS

#: Codes of errors by the kind of interaction that corrects them: lesion that was missed, and what is none.
CODES = {"tumor": 1, "background": 2}


@dataclass(frozen=True, eq=False)
class Correction:
    """A click (one point) or scribble (several) of `kind`; points int64 (n, 3), voxels in the order of the arrays."""

    kind: str
    points: np.ndarray


def draw_correction(
    errors: np.ndarray, rng: np.random.Generator, *, scribbles: float = 0.0, slice_axis: int = 0
) -> Correction | None:
    """A correction of one error, as a person might make it; None where there is no error.

    errors : uint8 (z, y, x), CODES where the prediction is wrong, else 0;  scribbles : probability that it is a
    scribble;  slice_axis : axis along which scribbles have one value (axial slices).

    Where there are errors of both kinds each is as likely. Of that kind a voxel is drawn, so that an error counts by
    its size, and its 26-connected component is corrected: by a click at the voxel farthest from the component's border
    (Euclidean distance in voxels), or by a scribble in the slice that holds most of it: the straight line between two
    of its voxels there, drawn at random, as far as it lies in the component. Only the box of the errors is looked at.
    """
    kinds = [kind for kind in KINDS if (errors == CODES[kind]).any()]
    if not kinds:
        return None
    kind = kinds[rng.integers(len(kinds))]
    component, first = _component(errors == CODES[kind], rng)
    if rng.random() < scribbles:
        points = _line(component, rng, slice_axis)
    else:
        points = np.array([np.unravel_index(np.argmax(_depth(component)), component.shape)])
    return Correction(kind, points + first)


def _component(mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The 26-connected component of a voxel of `mask` drawn at random: bool in its box, and the box's first voxel."""
    import cc3d

    box, first = _cut(mask)
    voxels = np.flatnonzero(box)
    chosen = voxels[rng.integers(len(voxels))]
    labels = cc3d.connected_components(box.view(np.uint8), connectivity=26)
    component, inner = _cut(labels == labels.flat[chosen])
    return component, first + inner


def _cut(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask that is not empty in its bounding box (new memory), and the box's first voxel."""
    spans = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return np.ascontiguousarray(mask[tuple(spans)]), np.array([span.start for span in spans])


def _depth(component: np.ndarray) -> np.ndarray:
    """Distance in voxels to the nearest voxel outside the component."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1, 1:-1]


def _line(component: np.ndarray, rng: np.random.Generator, axis: int) -> np.ndarray:
    """Voxels (n, 3), in their order, of a straight line inside the component, in its largest slice along `axis`."""
    others = tuple(other for other in range(3) if other != axis)
    position = int(np.argmax(component.sum(axis=others)))
    voxels = np.argwhere(component.take(position, axis))
    start, end = voxels[rng.integers(len(voxels), size=2)]
    steps = int(np.abs(end - start).max())
    line = np.rint(start + (end - start) * np.linspace(0, 1, steps + 1)[:, None]).astype(np.int64)
    points = np.insert(line, axis, position, axis=1)
    return points[component[tuple(points.T)]]
