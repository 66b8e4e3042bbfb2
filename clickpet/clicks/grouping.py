"""Grouping of points that files list without saying which belong together: scribbles, rounds of growing files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from clickpet.clicks.model import KINDS, Clicks, Interaction


def join_touching(clicks: Clicks, axial_axis: int = 2) -> Clicks:
    """Clicks of one kind that touch each other in an axial slice (over edges or corners), joined to scribbles.

    For the static scribbles of autoPET V, whose files list the points of all scribbles by their coordinates. Scribbles
    that `clicks` has already stay as they are; the new ones come in the order of their first points.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    given = clicks.interactions()
    groups: dict[object, list] = {}
    scribble_of: dict[int, object] = {}
    for kind in KINDS:
        alone = [place for place, one in enumerate(given) if one.kind == kind and len(one.points) == 1]
        if not alone:
            continue
        points = np.concatenate([given[place].points for place in alone]).astype(float)
        points[:, axial_axis] *= 3  # points of different slices never touch
        pairs = cKDTree(points).query_pairs(1.5, output_type="ndarray")
        graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(alone),) * 2)
        _, part = connected_components(graph, directed=False)
        scribble_of |= {place: (kind, number) for place, number in zip(alone, part.tolist(), strict=True)}
    for place, one in enumerate(given):
        groups.setdefault(scribble_of.get(place, place), []).append(one)
    return Clicks.from_interactions(
        Interaction(parts[0].kind, np.concatenate([one.points for one in parts])) for parts in groups.values()
    )


def added_interactions(before: Clicks, after: Clicks) -> list[Interaction]:
    """What a round adds to the clicks before it: its scribbles, from files that grow or hold each round alone.

    before : of the rounds before;  after : all that the file of this round holds. Points that were there before (as
    often as they were) are none of this round. The new points of a kind that are clicks of their own are one scribble;
    scribbles of the file stay apart.
    """
    left = Counter((one.kind, *point) for one in before.interactions() for point in one.points.tolist())
    added: dict[object, list] = {}
    for place, one in enumerate(after.interactions()):
        for point in one.points.tolist():
            voxel = (one.kind, *point)
            if left[voxel]:
                left[voxel] -= 1
            else:
                key = (one.kind, place if len(one.points) > 1 else None)
                added.setdefault(key, []).append(point)
    return [Interaction(kind, points) for (kind, _), points in added.items()]


def grow(files: Sequence[Clicks]) -> list[Clicks]:
    """The clicks at each round, all rounds so far, from one file a round (each that grew, or each alone)."""
    rounds, made = [], Clicks.empty()
    for file in files:
        made = Clicks.from_interactions([*made.interactions(), *added_interactions(made, file)])
        rounds.append(made)
    return rounds
