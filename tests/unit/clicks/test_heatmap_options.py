"""Options of heatmaps: one definition for config, settings of models and drawing."""

import json

import numpy as np
import pytest

from clickpet.clicks.heatmap_options import RELEASED_HEATMAP, HeatmapOptions
from clickpet.config import resolve
from clickpet.errors import InputError
from clickpet.geometry import Turn

AFFINE = np.array([[0, -2.0, 0, 7], [-4.0, 0, 0, 8], [0, 0, 3.0, 9], [0, 0, 0, 1]])


def test_the_defaults_are_those_of_the_config():
    assert HeatmapOptions().as_config() == resolve({"cohort": "x"})["heatmap"]


def test_options_survive_config_and_json():
    options = HeatmapOptions(sigma_tumor=(3, 3, 2), unit="mm", keep_clicked=True, peak="raw")
    assert HeatmapOptions.from_mapping(json.loads(json.dumps(options.as_config()))) == options
    assert hash(options) != hash(HeatmapOptions())


def test_what_the_released_weights_know():
    assert RELEASED_HEATMAP.as_config() == {
        "sigma_tumor": 3, "sigma_background": 6, "unit": "voxel", "suv_gate": 4, "peak": "unit", "compat": "released",
        "keep_clicked": True, "encoding": "gaussian", "distance_mm": 30,
    }  # fmt: skip


def test_sigmas_in_voxels_of_the_grid():
    assert HeatmapOptions(sigma_tumor=6).sigma_vox(6, None) == (6, 6, 6)
    assert HeatmapOptions(unit="mm").sigma_vox(6, AFFINE) == (1.5, 3, 2)
    assert HeatmapOptions(unit="mm").sigma_vox((4, 4, 6), AFFINE) == (1, 2, 2)


@pytest.mark.parametrize(
    ("axes", "order"), [("LAS", (0, 1, 2)), ("RPI", (0, 1, 2)), ("PIR", (1, 2, 0)), ("SAL", (2, 1, 0))]
)
def test_three_sigmas_are_along_left_anterior_and_superior(axes, order):
    las = np.diag([-4.0, 2, 3, 1])
    affine = Turn.between(las, axes).affine((9, 8, 7), las)
    voxels = HeatmapOptions().sigma_vox((1, 2, 3), affine)
    assert voxels == tuple((1, 2, 3)[axis] for axis in order)
    mm = HeatmapOptions(unit="mm").sigma_vox((8, 6, 12), affine)
    assert mm == tuple((2, 3, 4)[axis] for axis in order)
    assert HeatmapOptions().sigma_vox((1, 2, 3), None) == (1, 2, 3)


def test_millimetres_need_a_grid():
    with pytest.raises(InputError, match="heatmaps in mm need the size of a voxel; give the affine of the PET"):
        HeatmapOptions(unit="mm").sigma_vox(3, None)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"sigma": 3}, "settings.json: has unknown heatmap options: sigma"),
        ({"unit": "cm"}, "settings.json: heatmap.unit is 'cm'; use one of voxel, mm"),
        ({"suv_gate": "3"}, "heatmap.suv_gate is '3'"),
        ({"suv_gate": float("nan")}, "heatmap.suv_gate is nan"),
        ({"sigma_tumor": []}, "heatmap.sigma_tumor is []"),
        ({"sigma_tumor": [3]}, r"heatmap.sigma_tumor is [3]"),
        ({"sigma_background": True}, "heatmap.sigma_background is True"),
        ({"truncate": -1}, "heatmap.truncate is -1"),
    ],
)
def test_options_that_make_no_sense(given, what):
    with pytest.raises(InputError) as caught:
        HeatmapOptions.from_mapping(given, where="settings.json")
    assert what in str(caught.value)
