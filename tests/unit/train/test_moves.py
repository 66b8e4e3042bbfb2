"""Moves drawn before reading: nnU-Net's own draws, and boxes that hold all that a patch depends on."""

import numpy as np
import pytest
from spatial_transforms import INITIAL, PATCH, spatial

from clickpet.train.augmentation import MisalignChannel
from clickpet.train.moves import Move, draw_move


def test_the_draws_are_those_of_the_transforms(monkeypatch):
    import torch

    misalign = MisalignChannel(p_rotation=0.5, p_shift=0.5)
    image = torch.zeros((1, *INITIAL))
    kinds = set()
    for seed in range(40):
        np.random.seed(seed)
        moved, turned = misalign.get_parameters(), spatial().get_parameters(image=image)
        np.random.seed(seed)
        move = draw_move(spatial(), misalign, initial=INITIAL, patch=PATCH)
        np.testing.assert_array_equal(move.angles_deg, moved["angles_deg"])
        np.testing.assert_array_equal(move.shift_vox, moved["shift_vox"])
        assert (move.affine is None) == (turned["affine"] is None)
        if move.affine is not None:
            np.testing.assert_array_equal(move.affine, turned["affine"])
        kinds.add((move.misaligned, move.affine is None))
    assert len(kinds) == 4


def test_a_crop_reads_the_patch_and_nothing_else():
    still = Move(INITIAL, PATCH, np.zeros(3), np.zeros(3), None)
    assert still.box() == still.crop == (slice(8, 32), slice(8, 28), slice(8, 36))


def test_a_misaligned_crop_reads_the_voxels_that_come_in():
    shifted = Move(INITIAL, PATCH, np.zeros(3), np.array([0, 2, -2]), None)
    whole, part = shifted.box(), shifted.crop
    for axis, shift in enumerate((0, 2, 2)):
        assert whole[axis].start <= part[axis].start - shift
        assert whole[axis].stop >= part[axis].stop + shift
        assert whole[axis].stop - whole[axis].start < INITIAL[axis]


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_smaller_field_reads_less_and_never_more_than_the_initial_patch(scale):
    move = Move(INITIAL, PATCH, np.zeros(3), np.zeros(3), np.eye(3) * scale)
    lengths = [axis.stop - axis.start for axis in move.box()]
    assert all(0 < length <= whole for length, whole in zip(lengths, INITIAL, strict=True))
    expected = [min(whole, scale * (length - 1) + 1) for whole, length in zip(INITIAL, PATCH, strict=True)]
    np.testing.assert_allclose(lengths, expected, atol=4.1)
