"""Weights and heights of patients: what is read, told and refused."""

import pytest
from suv_headers import formula, header

from clickpet.dicom.suv import suv_factor
from clickpet.errors import InputError


def dose(weight_kg):
    return {"PatientWeight": weight_kg, "RadionuclideTotalDose": 5e6 * weight_kg}


@pytest.mark.parametrize(
    ("weight", "height", "words"),
    [(1.7, 1.7, "looks like a height in m"), (1.83, None, "looks like a height in m"), (0.07, 1.7, "is 0.07"),
     (450, 1.7, "is 450"), (999, None, "is 999"), (1700, 1.7, "is 1700"), (500_000, None, "is 500000")],
)  # fmt: skip
def test_weights_of_no_person_are_refused(weight, height, words):
    with pytest.raises(InputError, match=rf"weight \(PatientWeight \(0010,1030\)\) .*{words}"):
        suv_factor([header(PatientWeight=weight, PatientSize=height)])


@pytest.mark.parametrize(
    ("weight_kg", "height"), [(2.4, 0.46), (3.5, 0.5), (3.5, None), (12, 0.85), (70, 170), (165, 1.85), (70, 0)]
)
def test_weights_of_newborns_to_heavy_adults_are_believed(weight_kg, height):
    audit = suv_factor([header(PatientSize=height, **dose(weight_kg))])
    assert audit.factor == pytest.approx(formula(3600, weight_kg=weight_kg, dose_bq=5e6 * weight_kg), rel=1e-12)
    assert not audit.doubts


@pytest.mark.parametrize(("weight_kg", "height", "pounds"), [(160, 1.7, True), (20, 1.7, False), (30, 0.5, False)])
def test_weight_and_height_that_do_not_fit_are_told(weight_kg, height, pounds):
    [doubt] = suv_factor([header(PatientSize=height, **dose(weight_kg))]).doubts
    assert "(0010,1030)" in doubt
    assert "(0010,1020)" in doubt
    assert ("pounds" in doubt) == pounds


@pytest.mark.parametrize("height", [0.17, 5.6, 17, 1700, 67])
def test_heights_of_no_person_are_refused_where_they_count(height):
    with pytest.raises(InputError, match=r"height \(PatientSize \(0010,1020\)\) is"):
        suv_factor([header(Units="CM2ML", PatientSize=height)])
