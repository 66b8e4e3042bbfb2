"""Regions by name: brackets, backslashes and stars, in patterns and in names."""

import time
from pathlib import Path

import pytest

from clickpet.dicom.regions import select_regions
from clickpet.errors import InputError

NAMES = {1: "GTV[1]", 2: "GTV[2]", 3: "GTV\\left", 4: "Node (a+b)*", 5: "GTV1", 6: "what?", 7: "whatx"}


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (["GTV[1]"], [1]),
        ("gtv[*", [1, 2]),
        (["GTV\\left"], [3]),
        (["GTV\\*"], [3]),
        (["GTV?"], [5]),
        (["GTV*"], [1, 2, 3, 5]),
        (["Node (a+b)*"], [4]),
        (["what?"], [6]),
        (["what*"], [6, 7]),
        ([5, "gtv[2]"], [2, 5]),
        (None, [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_names_and_patterns(wanted, numbers):
    assert list(select_regions(NAMES, wanted, Path("rs.dcm"))) == numbers


def test_a_long_name_and_many_stars_take_no_time():
    begun = time.perf_counter()
    with pytest.raises(InputError, match="no region"):
        select_regions({1: "a" * 60_000 + " " * 60_000}, "*a" * 60 + "b", Path("rs.dcm"))
    assert time.perf_counter() - begun < 5


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError, match=r"no region 'liver'; it has 'GTV\[1\]', 'GTV\[2\]', 'GTV\\left'"):
        select_regions(NAMES, "liver", Path("rs.dcm"))
