"""clickpet.workflow.time_limits: minutes of prediction jobs."""

import pytest

from clickpet.workflow.time_limits import prediction_min


@pytest.mark.parametrize(
    ("members", "heatmaps", "minutes"), [(5, 1, 17), (1, 1, 5), (6, 1, 20), (1, 11, 35), (5, 11, 167)]
)
def test_by_voxel_limits_networks_take_their_share(members, heatmaps, minutes):
    predict = {"mirroring": "voxels", "time_limit_s": 900}
    assert prediction_min(predict, members=members, heatmaps=heatmaps) == minutes


@pytest.mark.parametrize(("limit_s", "heatmaps", "minutes"), [(900, 1, 17), (60, 1, 3), (61, 1, 4), (100, 11, 2 + 19)])
@pytest.mark.parametrize("members", [1, 5])
def test_in_budget_mode_any_ensemble_may_fill_the_limit(limit_s, heatmaps, minutes, members):
    predict = {"mirroring": "budget", "time_limit_s": limit_s}
    assert prediction_min(predict, members=members, heatmaps=heatmaps) == minutes
