"""Points joined to scribbles, and rounds from files that grow."""

import numpy as np

from clickpet.clicks.grouping import added_interactions, grow, join_touching
from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.reading import read_clicks


def test_points_that_touch_in_a_slice_are_joined():
    clicks = Clicks(
        [[1, 1, 1], [9, 9, 1], [2, 2, 1], [3, 2, 1], [3, 2, 2]],  # the last one lies in the next slice
        [[3, 3, 1], [3, 4, 1]],  # touch the tumour points, but are of another kind
    )
    assert join_touching(clicks).interactions() == [
        Interaction("tumor", [[1, 1, 1], [2, 2, 1], [3, 2, 1]]),
        Interaction("tumor", [[9, 9, 1]]),
        Interaction("tumor", [[3, 2, 2]]),
        Interaction("background", [[3, 3, 1], [3, 4, 1]]),
    ]


def test_slices_may_lie_across_another_axis():
    clicks = Clicks([[1, 1, 1], [1, 2, 2], [2, 1, 1]], [])
    assert [len(one.points) for one in join_touching(clicks, axial_axis=0).interactions()] == [2, 1]


def test_scribbles_that_are_there_stay_and_nothing_stays_nothing():
    there = Interaction("tumor", [[1, 1, 1], [5, 5, 5]])
    clicks = Clicks.from_interactions([there, Interaction("tumor", [[1, 2, 1]])])
    assert join_touching(clicks) == clicks
    assert join_touching(Clicks.empty()) == Clicks.empty()


def test_what_a_round_adds():
    before = Clicks([[1, 1, 1], [1, 2, 1]], [])
    after = Clicks([[1, 1, 1], [1, 2, 1], [1, 2, 1], [8, 8, 8]], [[2, 2, 2]])
    assert added_interactions(before, after) == [
        Interaction("tumor", [[1, 2, 1], [8, 8, 8]]),
        Interaction("background", [[2, 2, 2]]),
    ]


def test_files_that_grow_and_files_of_one_round_give_the_same():
    first, second = Clicks([[1, 1, 1], [1, 2, 1]], []), Clicks([], [[2, 2, 2], [2, 3, 2]])
    both = Clicks(first.tumor, second.background)
    wanted = [Interaction("tumor", first.tumor), Interaction("background", second.background)]
    for files in ([Clicks.empty(), first, both], [Clicks.empty(), first, second]):
        rounds = grow(files)
        assert [clicks.interactions() for clicks in rounds] == [[], wanted[:1], wanted]


def test_the_real_files_of_a_study(shared_data):
    folder = shared_data / "autopet" / "rounds"
    files = [
        read_clicks(folder / f"round_{number}_scribbles.json", shape=(256, 256, 371), affine=np.eye(4))
        for number in range(3)
    ]
    rounds = grow(files)
    assert [[(one.kind, len(one.points)) for one in clicks.interactions()] for clicks in rounds] == [
        [],
        [("tumor", 7)],
        [("tumor", 7), ("background", 5)],
    ]
    assert {len(set(one.points[:, 2].tolist())) for one in rounds[-1].interactions()} == {1}


def test_the_static_scribbles_of_real_studies_lie_in_single_slices(shared_data):
    sizes = []
    for path in sorted((shared_data / "autopet" / "scribbles").glob("*.json")):
        joined = join_touching(read_clicks(path, shape=(600, 600, 2000), affine=np.eye(4)))
        sizes += [len(one.points) for one in joined.interactions()]
        assert all(len(set(one.points[:, 2].tolist())) == 1 for one in joined.interactions())
    assert max(sizes) > 10
