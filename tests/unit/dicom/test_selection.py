"""Choosing PET and CT: attenuation correction, tilted and damaged rivals."""

import numpy as np
import pytest
from dicom_maker import write_series

from clickpet.dicom.selection import choose_pet_ct
from clickpet.dicom.series import check_headers, load_ct, load_suv
from clickpet.errors import InputError

BARE = {"CorrectedImage": None}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({}, {**BARE, "AttenuationCorrectionMethod": "NONE"}),
        ({}, {"AttenuationCorrectionMethod": "NONE"}),
        ({**BARE, "AttenuationCorrectionMethod": "measured,AC CT"}, {**BARE, "AttenuationCorrectionMethod": "none"}),
        ({}, BARE),
        ({"AttenuationCorrectionMethod": "CTAC-SG"}, {"CorrectedImage": ["DECY"]}),
    ],
)
@pytest.mark.parametrize("numbers", [(3, 4), (4, 3)])
def test_the_attenuation_corrected_series_is_taken(tmp_path, good, bad, numbers):
    write_series(tmp_path / "ct", modality="CT", slices=12)
    write_series(tmp_path / "good", name="good", number=numbers[0], **good)
    write_series(tmp_path / "bad", name="bad", number=numbers[1], **bad)
    pet, _, reasons = choose_pet_ct(tmp_path)
    assert pet.number == numbers[0]
    assert any("not attenuation-corrected" in reason for reason in reasons)
    assert load_suv(tmp_path)[0].shape[2] == 8


def tilted(degrees):
    def change(dataset, index):
        turn = np.deg2rad(degrees)
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(turn)), 9), round(float(np.sin(turn)), 9)]

    return change


@pytest.mark.parametrize("degrees", [1.5, 12])
@pytest.mark.parametrize("kernel", ["B30f", "B70f"])
def test_a_tilted_ct_does_not_hide_an_upright_one(tmp_path, degrees, kernel):
    """Not even where the tilted one has the better kernel."""
    write_series(tmp_path / "pet")
    write_series(tmp_path / "a", modality="CT", slices=15, gap_mm=3, name="a", number=2, change=tilted(degrees),
                 ConvolutionKernel="B30f")  # fmt: skip
    write_series(tmp_path / "b", modality="CT", slices=15, gap_mm=3, name="b", number=3, ConvolutionKernel=kernel)
    _, ct, reasons = choose_pet_ct(tmp_path)
    assert ct.number == 3
    assert any("tilted gantry" in reason for reason in reasons)
    assert load_ct(tmp_path).shape[2] == 15


def test_only_a_tilted_ct_says_so(tmp_path):
    write_series(tmp_path / "pet")
    write_series(tmp_path / "a", modality="CT", slices=15, gap_mm=3, change=tilted(12))
    pet, ct, _ = choose_pet_ct(tmp_path)
    with pytest.raises(InputError, match="tilted gantry"):
        check_headers(pet, ct)


def test_a_ct_with_a_missing_slice_does_not_hide_a_whole_one(tmp_path):
    write_series(tmp_path / "pet")
    write_series(tmp_path / "a", modality="CT", places_mm=[0, 5, 10, 20, 25, 30, 35], name="a", number=2)
    write_series(tmp_path / "b", modality="CT", name="b", number=3)
    assert choose_pet_ct(tmp_path)[1].number == 3


def test_the_ct_of_the_patient_is_taken_from_two(tmp_path):
    write_series(tmp_path / "pet", PatientID="P1")
    write_series(tmp_path / "a", modality="CT", name="a", number=2, PatientID="P2")
    write_series(tmp_path / "b", modality="CT", name="b", number=3, PatientID="P1", frame="another")
    assert choose_pet_ct(tmp_path)[1].number == 3
