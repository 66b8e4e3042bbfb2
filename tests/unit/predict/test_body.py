"""clickpet.predict.body on bodies, tables and empty scans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in_bodies import body_around

from clickpet.predict.body import BODY_MIN_SUV, body_box

SPACING_MM = (4.0, 4.0, 3.0)
SHAPE = (100, 90, 80)


def box_around(ct, suv, spacing_mm):
    return body_box(ct=ct, suv=suv, affine=np.diag([*spacing_mm, 1.0]))


def air():
    return np.full(SHAPE, -1000, np.float32), np.zeros(SHAPE, np.float32)


def with_body():
    ct, suv = air()
    ct[30:70, 30:60, 10:70] = 40
    ct[20:80, 75:77, :] = 200  # a table, two voxels thin
    return ct, suv


def test_box_is_the_body_plus_the_margin_without_the_table():
    box = box_around(*with_body(), SPACING_MM)
    for part, (start, stop), edge in zip(box, ((30, 70), (30, 60), (10, 70)), SPACING_MM, strict=True):
        margin = 20 / edge
        assert start - margin - 2 * 8 / edge - 1 <= part.start <= max(0, start - margin)
        assert stop + margin <= part.stop or part.stop == 80
        assert part.stop <= stop + margin + 2 * 8 / edge + 1
    assert box[1].stop <= 75


@pytest.mark.parametrize("where", [(2, 3, 4), (99, 89, 79), (50, 0, 40)])
def test_box_grows_to_uptake_outside_the_body(where):
    ct, suv = with_body()
    suv[where] = BODY_MIN_SUV
    assert box_around(ct, suv, SPACING_MM) == box_around(*with_body(), SPACING_MM)
    suv[where] = BODY_MIN_SUV + 0.01
    box = box_around(ct, suv, SPACING_MM)
    assert all(part.start <= index < part.stop for part, index in zip(box, where, strict=True))


def test_separate_legs_are_both_body():
    ct, suv = air()
    ct[10:25, 30:50, :] = 40
    ct[70:85, 30:50, :] = 40
    box = box_around(ct, suv, SPACING_MM)
    assert box[0].start <= 10
    assert box[0].stop >= 85


@pytest.mark.parametrize("value", [-1024, 0])
def test_a_scan_without_air_or_without_body_keeps_the_whole_grid(value):
    ct = np.full(SHAPE, value, np.float32)
    assert box_around(ct, np.zeros(SHAPE, np.float32), SPACING_MM) == tuple(slice(0, length) for length in SHAPE)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_box_holds_body_and_uptake_wherever_they_are(data):
    shape = tuple(data.draw(st.integers(20, 60)) for _ in range(3))
    spacing_mm = tuple(data.draw(st.sampled_from([2.0, 3.3, 5.0])) for _ in range(3))
    ct, suv = np.full(shape, -1000, np.float32), np.zeros(shape, np.float32)
    size = [min(length, int(np.ceil(32 / edge))) for length, edge in zip(shape, spacing_mm, strict=True)]
    start = [data.draw(st.integers(0, length - part)) for length, part in zip(shape, size, strict=True)]
    ct[tuple(slice(first, first + part) for first, part in zip(start, size, strict=True))] = 0
    hot = tuple(data.draw(st.integers(0, length - 1)) for length in shape)
    suv[hot] = 5
    box = box_around(ct, suv, spacing_mm)
    inside = np.zeros(shape, bool)
    inside[box] = True
    assert inside[ct == 0].all()
    assert inside[hot]


def test_box_saves_tiles_on_real_anatomies(shared_data):
    """Where no CT exists, the organs' extent widened to a body stands for it; stock tiles are of the whole grid."""
    from clickpet.images import read_image, spacing_mm
    from clickpet.predict.tiling import tiling

    ratios = []
    for path in sorted((shared_data / "autopet" / "organs").glob("*.nii.gz"))[::6]:
        image = read_image(path)
        ct = body_around(image.array > 0, spacing_mm(image.affine))
        box = body_box(ct=ct, suv=np.zeros_like(ct), affine=image.affine)
        zyx, part = image.shape[::-1], box[::-1]
        ratios.append(len(tiling(zyx, (128, 128, 128), 0.5)) / len(tiling(zyx, (128, 128, 128), 0.6, part)))
    assert len(ratios) == 4
    assert np.mean(ratios) > 3
