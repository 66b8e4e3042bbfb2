"""clickpet.predict.mirroring: the paper's limits, and plans under a time budget."""

import itertools
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.predict.mirroring import MIRROR_AXES, Workload, expected_s, mirror_axes_for, mirrorings, plan_axes


@pytest.mark.parametrize(
    ("n_voxels", "axes"),
    [
        (1, (0, 1, 2)),
        (17_999_999, (0, 1, 2)),
        (18_000_000, (1, 2)),
        (38_999_999, (1, 2)),
        (39_000_000, (2,)),
        (400 * 400 * 326, (2,)),
        (89_999_999, (2,)),
        (90_000_000, ()),
        (106_000_000, ()),
    ],
)
def test_axes_by_the_papers_limits(n_voxels, axes):
    assert mirror_axes_for(n_voxels) == axes


def test_own_limits_and_bad_limits():
    assert mirror_axes_for(50, (10, 60, 70)) == (1, 2)
    for limits in ((18e6, 39e6), (39e6, 18e6, 90e6), ()):
        with pytest.raises(InputError, match=r"predict\.voxel_limits"):
            mirror_axes_for(50, limits)


def calibration(pass_s, fixed_s=0.0, per_voxel_s=0.0):
    return {"fixed_s": fixed_s, "per_voxel_s": per_voxel_s, "pass_s": {str(n): pass_s for n in range(4)}}


def test_expected_seconds_add_up():
    table = {"fixed_s": 7.0, "per_voxel_s": 1e-6, "pass_s": {"0": 2.0, "1": 1.5, "2": 1.0, "3": 0.5}}
    work = Workload(voxels=3_000_000, tiles=10, members=5)
    assert expected_s(table, work, 0) == pytest.approx(10 + 100)
    assert expected_s(table, work, 3) == pytest.approx(10 + 10 * 8 * 5 * 0.5)


@pytest.mark.parametrize(
    ("limit_s", "axes"), [(800, (0, 1, 2)), (799, (1, 2)), (400, (1, 2)), (399, (2,)), (200, (2,)), (199, ()), (1, ())]
)
def test_plan_takes_the_most_axes_that_fit(limit_s, axes):
    planned, seconds = plan_axes(calibration(2.0), Workload(1, 10, 5), time_limit_s=limit_s)
    assert planned == axes
    assert seconds == 10 * 5 * 2.0 * 2 ** len(axes)


@given(
    tiles=st.integers(1, 100),
    members=st.integers(1, 6),
    pass_s=st.floats(0.01, 10),
    limit_s=st.floats(1, 5000),
    more_s=st.floats(0, 5000),
)
def test_more_time_never_means_fewer_axes(tiles, members, pass_s, limit_s, more_s):
    work = Workload(10**7, tiles, members)
    axes, seconds = plan_axes(calibration(pass_s), work, time_limit_s=limit_s)
    assert seconds <= limit_s or axes == ()
    assert len(plan_axes(calibration(pass_s), work, time_limit_s=limit_s + more_s)[0]) >= len(axes)


def voxel_limits_by(calibration, workloads, *, time_limit_s):
    """The voxel limits (three, two, one, no axes) that a table of run times over many volumes leads to.

    What the authors did: time the inference over volume sizes, then choose the numbers of voxels below which
    three, two and one axes fit. Each limit is the one that errs on the fewest of `workloads`, counting a volume
    below it that does not fit and a volume above it that would. The fourth limit is where even no mirroring fails.
    """
    ordered = sorted(workloads, key=lambda workload: workload.voxels)
    limits = []
    for axes in MIRROR_AXES:
        fits = [expected_s(calibration, workload, len(axes)) <= time_limit_s for workload in ordered]
        errors = best = sum(fits)
        limit = 0.0
        for workload, fit in zip(ordered, fits, strict=True):
            errors += -1 if fit else 1
            if errors < best:
                best, limit = errors, float(workload.voxels)
        limits.append(limit)
    return tuple(limits)


def test_the_authors_limits_come_out_of_their_case():
    """T4, 15 minutes a case, five folds, patch 192, tile step 0.6, all volumes of 100 to 1000 voxels a side.

    At 1.8 s a forward pass and a minute of everything else, the limits are those of the paper within a seventh.
    """
    sides = range(100, 1001, 50)

    def tiles(length):
        return 1 if length <= 192 else ceil((length - 192) / (0.6 * 192)) + 1

    work = [
        Workload(a * b * c, tiles(a) * tiles(b) * tiles(c), members=5) for a, b, c in itertools.product(sides, repeat=3)
    ]
    three, two, one, none = voxel_limits_by(calibration(1.8, fixed_s=60), work, time_limit_s=900)
    assert three == pytest.approx(18e6, rel=0.15)
    assert two == pytest.approx(39e6, rel=0.15)
    assert one == pytest.approx(90e6, rel=0.15)
    assert none > 106e6  # the largest study of the training set still runs


def test_mirrorings_are_every_combination_once():
    assert mirrorings(()) == [()]
    assert mirrorings((2, 1)) == [(), (1,), (2,), (1, 2)]
    assert len(set(mirrorings((0, 1, 2)))) == 8
