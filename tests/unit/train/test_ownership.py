"""The last one that claims a folder has it."""

import pytest

from clickpet.train.ownership import Claim, TakenOverError


def test_the_forerunner_stops_and_the_successor_goes_on(tmp_path):
    first = Claim(tmp_path)
    first.check()
    second = Claim(tmp_path)
    with pytest.raises(TakenOverError, match="taken over by a later job"):
        first.check()
    second.check()


def test_a_claim_left_by_a_crash_keeps_nobody_out(tmp_path):
    Claim(tmp_path)
    Claim(tmp_path).check()


def test_folders_are_claimed_one_by_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = Claim(tmp_path / "a")
    Claim(tmp_path / "b")
    first.check()
