"""The picture of both projections."""

import numpy as np
import pytest
from PIL import Image

from clickpet.errors import InputError
from clickpet.tracer.picture import save_mip_png


def test_grey_levels(tmp_path):
    coronal, sagittal = np.zeros((50, 50), np.float32), np.zeros((50, 50), np.float32)
    coronal[30:40, 10:20] = 25
    sagittal[30:40, 30:40] = 5
    save_mip_png(tmp_path / "mip.png", coronal, sagittal, suv_max=10)
    picture = np.asarray(Image.open(tmp_path / "mip.png"))
    assert picture.shape == (100, 208, 3)
    assert picture[70, 30].tolist() == [0, 0, 0]
    assert picture[70, 108 + 70].tolist() == [127, 127, 127]
    assert picture[90, 90].tolist() == [255, 255, 255]


def test_same_bytes_every_time(tmp_path):
    suv = np.random.default_rng(0).random((50, 50), np.float32) * 9
    for name in "ab":
        save_mip_png(tmp_path / f"{name}.png", suv, suv)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_window_must_be_positive(tmp_path):
    with pytest.raises(InputError, match="suv_max is 0"):
        save_mip_png(tmp_path / "mip.png", np.zeros((5, 5)), np.zeros((5, 5)), suv_max=0)
