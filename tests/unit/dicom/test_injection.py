"""The unit of the injected activity, judged by MBq per kg: both sides of every limit, in several units and nuclides."""

import pytest

from clickpet.dicom.injection import read_dose
from clickpet.dicom.nuclides import NUCLIDES, nuclide_by_half_life, nuclide_named

F18, GA68, ZR89 = (nuclide_named(name) for name in ("18F", "68Ga", "89Zr"))


@pytest.mark.parametrize(
    ("value", "weight_kg", "nuclide", "bq", "unit"),
    [
        (350e6, 70, F18, 350e6, "Bq"),
        (350, 70, F18, 350e6, "MBq"),
        (26e6, 3, F18, 26e6, "Bq"),
        (740e6, 60, F18, 740e6, "Bq"),
        (120, 80, GA68, 120e6, "MBq"),
        (37e6, 75, ZR89, 37e6, "Bq"),
        (1500e6, 80, nuclide_named("82Rb"), 1500e6, "Bq"),
        (1110e6, 70, None, 1110e6, "Bq"),
    ],
)
def test_doses_that_people_are_given(value, weight_kg, nuclide, bq, unit):
    dose = read_dose(value, weight_kg, nuclide)
    assert (dose.bq, dose.read_as, dose.concern, dose.refused) == (bq, unit, "", False)


@pytest.mark.parametrize(
    ("value", "weight_kg", "nuclide", "likely"),
    [
        (9.46, 70, F18, "mCi (5 MBq per kg)"),
        (9460, 70, F18, "uCi (5 MBq per kg)"),
        (350_000, 70, F18, "kBq (5 MBq per kg)"),
        (0.35, 70, F18, "GBq (5 MBq per kg)"),
        (12_000, 70, F18, "uCi (6.3 MBq per kg)"),
        (3, 20, F18, "mCi (5.5 MBq per kg)"),
        (4.5, 70, GA68, "mCi (2.4 MBq per kg)"),
        (120_000, 70, GA68, "kBq (1.7 MBq per kg)"),
        (1, 70, ZR89, "mCi (0.53 MBq per kg)"),
        (9.46, 700, None, "mCi (0.5 MBq per kg)"),
    ],
)
def test_doses_in_other_units_are_refused_with_the_likely_one(value, weight_kg, nuclide, likely):
    dose = read_dose(value, weight_kg, nuclide)
    assert dose.refused
    assert likely in dose.concern
    assert f"{value:.10g}, read in" in dose.concern


@pytest.mark.parametrize(
    ("value", "nuclide", "concern", "refused"),
    [(42.1e6, F18, False, False), (41.9e6, F18, True, False), (1399e6, F18, False, False), (1401e6, F18, True, False),
     (29e9, F18, True, True), (2e6, F18, True, True)],
)  # fmt: skip
def test_unusual_doses_are_told_and_absurd_ones_refused(value, nuclide, concern, refused):
    dose = read_dose(value, 70, nuclide)
    assert (bool(dose.concern), dose.refused) == (concern, refused)


@pytest.mark.parametrize(("value", "unit"), [(9999.0, "MBq"), (10_000.0, "Bq")])
def test_both_sides_of_the_limit_between_mbq_and_bq(value, unit):
    assert read_dose(value, 70, F18).read_as == unit


@pytest.mark.parametrize(
    ("text", "name"),
    [("^18^Fluorine", "18F"), ("F-18", "18F"), ("18F FDG", "18F"), ("Fluorine 18", "18F"), ("^68^Gallium", "68Ga"),
     ("Ga68", "68Ga"), ("^64^Copper", "64Cu"), ("C-11", "11C"), ("^89^Zirconium", "89Zr"), ("Iodine^124", "124I"),
     ("", None), ("18", None), ("fluorine", None), ("^99m^Technetium", None), ("18F and 68Ga", None)],
)  # fmt: skip
def test_nuclides_by_name(text, name):
    found = nuclide_named(text)
    assert (found.name if found else None) == name


def test_nuclides_by_half_life_are_told_apart():
    for nuclide in NUCLIDES:
        assert nuclide_by_half_life(nuclide.half_life_s) is nuclide
        assert nuclide_by_half_life(nuclide.half_life_s * 1.019) is nuclide
        assert nuclide_by_half_life(nuclide.half_life_s * 1.025) is not nuclide
