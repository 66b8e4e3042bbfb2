"""The process that marked a folder last owns it."""

import pytest

from clickpet.train.ownership import OwnershipToken, TakenOverError


def test_the_forerunner_stops_and_the_successor_goes_on(tmp_path):
    first = OwnershipToken(tmp_path)
    first.check()
    second = OwnershipToken(tmp_path)
    with pytest.raises(TakenOverError, match="taken over by a later job"):
        first.check()
    second.check()


def test_a_token_left_by_a_crash_keeps_nobody_out(tmp_path):
    OwnershipToken(tmp_path)
    OwnershipToken(tmp_path).check()


def test_folders_are_owned_one_by_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = OwnershipToken(tmp_path / "a")
    OwnershipToken(tmp_path / "b")
    first.check()
