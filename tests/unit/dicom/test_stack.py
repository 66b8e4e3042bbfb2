"""Stacks of slices: tilt that adds up, and headers that lack what a volume needs."""

import numpy as np
import pytest
from dicom_maker import write_series

from clickpet.dicom.series import load_ct, load_suv
from clickpet.errors import InputError


def drifting(total_mm, slices):
    def change(dataset, index):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, round(y + total_mm * index / (slices - 1), 6), z]

    return change


@pytest.mark.parametrize(
    ("total_mm", "slices", "gap_mm"),
    [(8.0, 251, 4.0), (2.0, 251, 4.0), (-1.5, 251, 4.0), (1.2, 12, 5.0), (60.0, 251, 4.0)],
)
@pytest.mark.parametrize("modality", ["PT", "CT"])
def test_a_small_tilt_that_adds_up_is_refused(tmp_path, total_mm, slices, gap_mm, modality):
    write_series(tmp_path, modality=modality, slices=slices, gap_mm=gap_mm, shape=(4, 5),
                 change=drifting(total_mm, slices))  # fmt: skip
    with pytest.raises(InputError, match=rf"sideways by {abs(total_mm):.1f} mm over .*tilted gantry"):
        (load_ct if modality == "CT" else load_suv)(tmp_path)


@pytest.mark.parametrize("total_mm", [0.0, 0.02, 0.9])
def test_positions_that_are_rounded_are_fine(tmp_path, total_mm):
    write_series(tmp_path, slices=251, gap_mm=4.0, shape=(4, 5), change=drifting(total_mm, 251))
    assert load_suv(tmp_path)[0].shape == (5, 4, 251)


def test_an_oblique_stack_along_its_normal_is_fine(tmp_path):
    turn = np.deg2rad(7)
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(turn)), float(np.sin(turn)))
    write_series(tmp_path, modality="CT", slices=60, orientation=orientation)
    assert load_ct(tmp_path).spacing_mm == pytest.approx((3, 4, 5))


@pytest.mark.parametrize("thickness", [8.0, 2.0, 0, None])
def test_slices_that_overlap_or_lie_apart_are_spaced_by_position(tmp_path, thickness):
    write_series(tmp_path, SliceThickness=thickness)
    assert load_suv(tmp_path)[0].spacing_mm == pytest.approx((3, 4, 5))


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_a_missing_matrix_is_named(tmp_path, keyword):
    write_series(tmp_path, **{keyword: None})
    with pytest.raises(InputError, match=r"Rows \(0028,0010\) or Columns \(0028,0011\) is missing"):
        load_suv(tmp_path)


def test_an_intercept_that_is_no_number_is_named(tmp_path):
    write_series(tmp_path, modality="CT")
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        place = content.index(b"\x28\x00\x52\x10DS") + 8
        file.write_bytes(content[:place] + b"a " + content[place + 2 :])
    with pytest.raises(InputError, match=r"RescaleIntercept \(0028,1052\) is no number"):
        load_ct(tmp_path)
