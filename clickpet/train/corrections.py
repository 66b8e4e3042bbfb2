"""Corrective clicks and scribbles from the errors of a prediction in a patch."""

from __future__ import annotations

import numpy as np

from clickpet.clicks.model import KINDS, Interaction
from clickpet.clicks.scribbles import SCRIBBLE_KINDS, draw_scribble, largest_slice_component

#: Codes of errors by the kind of interaction that corrects them: lesion that was missed, and what is none.
CODES = {"tumor": 1, "background": 2}
#: Pixels of a slice of a component above which a scribble is a straight line: centrelines of large ones take long.
LARGE_SLICE = 2000


def draw_correction(
    errors: np.ndarray, rng: np.random.Generator, *, scribbles: float = 0.0, slice_axis: int = 0
) -> Interaction | None:
    """A correction of one error, as a person might make it; None where there is no error.

    errors : uint8 (z, y, x), CODES where the prediction is wrong, else 0;  scribbles : probability that it is a
    scribble;  slice_axis : axis along which scribbles have one value (axial slices).

    Where there are errors of both kinds each is as likely. Of that kind a voxel is drawn, so that an error counts by
    its size, and its 26-connected component is corrected: by a click at the voxel farthest from the component's border
    (Euclidean distance in voxels), or by a scribble in its largest 8-connected part of any slice, drawn in one of the
    three ways of autoPET V (`clickpet.clicks.scribbles`). Only the box of the errors is looked at.
    """
    kinds = [kind for kind in KINDS if (errors == CODES[kind]).any()]
    if not kinds:
        return None
    kind = kinds[rng.integers(len(kinds))]
    component, first = _component(errors == CODES[kind], rng)
    if rng.random() < scribbles:
        points = _scribble(component, rng, slice_axis)
    else:
        points = np.array([np.unravel_index(np.argmax(_depth(component)), component.shape)])
    return Interaction(kind, points + first)


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


def _scribble(component: np.ndarray, rng: np.random.Generator, axis: int) -> np.ndarray:
    """Voxels (n, 3), in their order, of a scribble in a component, in one slice across `axis`."""
    position, part = largest_slice_component(component, axis)
    kind = SCRIBBLE_KINDS[rng.integers(len(SCRIBBLE_KINDS))]
    if np.count_nonzero(part) > LARGE_SLICE:
        kind = "random"
    drawn = draw_scribble(part, kind, np.random.RandomState(rng.integers(2**32)))
    return np.insert(drawn, axis, position, axis=1)
