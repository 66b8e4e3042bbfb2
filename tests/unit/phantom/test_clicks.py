"""Clicks of the phantom's reader."""

from itertools import combinations

import cc3d
import numpy as np
import pytest
from phantom_studies import HEALTHY, WITH_LESIONS, made
from scipy import ndimage

from clickpet.images import spacing_mm


@pytest.mark.parametrize("index", [*WITH_LESIONS, *HEALTHY])
def test_clicks_lie_where_they_should(index):
    study = made(index)
    assert study["clicks"]["type"] == "Multiple points"
    assert study["clicks"]["version"] == {"major": 1, "minor": 0}
    points = {"tumor": [], "background": []}
    for point in study["clicks"]["points"]:
        points[point["name"]].append(tuple(point["point"]))
    assert len(points["background"]) == 10
    assert len(points["tumor"]) == (10 if study["lesions"] else 0)
    assert all(study["label"][point] == 1 for point in points["tumor"])
    assert all(study["label"][point] == 0 for point in points["background"])
    components, number = cc3d.connected_components(study["label"], connectivity=26, return_N=True)
    assert {components[point] for point in points["tumor"]} == set(range(1, number + 1))
    assert (
        study["pet"][points["background"][0]]
        == study["pet"][ndimage.binary_dilation(study["label"], np.ones((3, 3, 3))) == 0].max()
    )
    apart = [
        np.linalg.norm(np.subtract(a, b) * spacing_mm(study["affine"]))
        for a, b in combinations(points["background"], 2)
    ]
    assert min(apart) >= 40
