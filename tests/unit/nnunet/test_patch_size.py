"""Patch sizes are refused before anything runs if no network can take them, and only then."""

import pytest

from clickpet.config import resolve
from clickpet.errors import InputError
from clickpet.nnunet.patch_size import SPACINGS_MM, check_patch_size


@pytest.mark.parametrize("patch", [(192, 192, 192), (24, 24, 24), (128, 160, 112), (8, 16, 16), (9, 9, 9)])
def test_a_patch_that_fits_some_cohort_is_taken(patch):
    check_patch_size(patch)


@pytest.mark.parametrize(
    ("patch", "max_stages", "mend"),
    [
        ((100, 100, 100), None, "use [112, 112, 112]"),
        ((190, 192, 192), None, "use [192, 192, 192]"),
        ((50, 64, 64), None, "use [56, 64, 64]"),
        ((30, 30, 30), 3, "use [32, 32, 32]"),
    ],
)
def test_a_patch_that_fits_none_is_one_line_with_one_that_does(patch, max_stages, mend):
    with pytest.raises(InputError) as error:
        check_patch_size(patch, max_stages=max_stages)
    assert "train.patch_size" in str(error.value)
    assert str(list(patch)) in str(error.value)
    assert mend in str(error.value)
    assert "\n" not in str(error.value)


def test_fewer_stages_halve_less_often():
    check_patch_size((100, 100, 100), max_stages=3)


def test_a_known_spacing_decides_alone():
    check_patch_size((9, 9, 9), spacing_mm=SPACINGS_MM[-1])
    with pytest.raises(InputError):
        check_patch_size((9, 9, 9), spacing_mm=SPACINGS_MM[0])


def test_the_papers_patch():
    train = resolve({"cohort": "x"})["train"]
    check_patch_size(train["patch_size"], max_stages=train["topology"]["max_stages"], spacing_mm=train["spacing_mm"])
