"""PET of BIDS data sets: the SUV by the rules of DICOM, what is refused or told, the cohort, and their SUV images."""

import json
import re

import numpy as np
import pytest
from bids_maker import AFFINE, METADATA, SHAPE, expected_factor, suv_image, write_subject
from dicom_maker import write_series
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.cohort import read_cohort
from clickpet.dicom.series import load_suv
from clickpet.errors import InputError
from clickpet.images import Image, write_image
from clickpet.ingest.bids_cohort import build_from_bids
from clickpet.ingest.bids_files import metadata_files
from clickpet.ingest.bids_suv import suv_of_bids
from clickpet.ingest.study import load_ct, load_label, load_pet


def test_the_image_becomes_suv(tmp_path):
    pet, record = load_pet(write_subject(tmp_path, "01"))
    np.testing.assert_allclose(pet.array, suv_image(), rtol=1e-5)
    assert record["factor"] == pytest.approx(expected_factor())
    assert (record["source"], record["units"], record["warnings"]) == ("BIDS", "BQML", [])
    assert (record["dose_bq"], record["weight_kg"], record["delta_t_s"]) == (350e6, 70, 3600)
    ct, _ = load_ct(tmp_path / "sub-01" / "ct" / "sub-01_ct.nii.gz", pet)
    assert ct.shape == SHAPE


def test_the_rules_are_those_of_dicom(tmp_path):
    """The same study as DICOM and as BIDS gives one factor."""
    write_series(tmp_path / "dicom")  # 70 kg, 350 MBq, 10:00 to 11:00, START
    expected = load_suv(tmp_path / "dicom")[1]
    factor, record = suv_of_bids(write_subject(tmp_path / "bids", "01"))
    assert factor == pytest.approx(expected["factor"], rel=1e-9)
    for key in ("units", "decay_correction", "delta_t_s", "half_life_s", "dose_bq", "weight_kg"):
        assert record[key] == expected[key]


@pytest.mark.parametrize(
    ("changed", "weight", "expected"),
    [
        ({"Units": "kBq/mL"}, 70, 1000 * expected_factor()),
        ({"Units": "g/mL"}, 70, 1.0),
        ({"InjectedRadioactivity": 9.459459459, "InjectedRadioactivityUnits": "mCi"}, 70, expected_factor()),
        ({"InjectedRadioactivity": 0.35, "InjectedRadioactivityUnits": "GBq"}, 70, expected_factor()),
        ({}, 91.5, expected_factor(weight_kg=91.5)),
        ({"ImageDecayCorrectionTime": 0}, 70, expected_factor(delta_t_s=0)),
        ({"InjectionStart": -300}, 70, expected_factor(delta_t_s=3900)),
        ({"TimeZero": "23:30:00"}, 70, expected_factor()),
        ({"InjectionStart": 1000, "ImageDecayCorrectionTime": 5200}, 70, expected_factor(delta_t_s=4200)),
        ({"TracerRadionuclide": "18F"}, 70, expected_factor()),
        ({"TracerRadionuclide": "F-18"}, 70, expected_factor()),
    ],
)
def test_units_weights_and_times(tmp_path, changed, weight, expected):
    factor, _ = suv_of_bids(write_subject(tmp_path, "01", weight=weight, **changed))
    assert factor == pytest.approx(expected, rel=1e-6)


def test_values_without_decay_correction_refer_to_the_mean_moment_of_the_frame(tmp_path):
    factor, record = suv_of_bids(
        write_subject(tmp_path, "01", ImageDecayCorrected=False, ImageDecayCorrectionTime=None)
    )
    decays = np.log(2) * 1200 / 6586.2
    middle_s = np.log(decays / -np.expm1(-decays)) * 6586.2 / np.log(2)
    assert factor == pytest.approx(expected_factor(delta_t_s=3600 + middle_s), rel=1e-6)
    assert record["decay_correction"] == "NONE"


@pytest.mark.parametrize(
    ("changed", "weight", "message"),
    [
        ({"Units": "counts"}, 70, "Units are 'counts', not Bq/mL"),
        ({"InjectedRadioactivity": None}, 70, "InjectedRadioactivity is missing"),
        ({"InjectedRadioactivityUnits": None}, 70, "InjectedRadioactivityUnits are missing"),
        (
            {"InjectedRadioactivity": 350, "InjectedRadioactivityUnits": "kBq"},
            70,
            "InjectedRadioactivity.*looks like kBq",
        ),
        ({"TracerRadionuclide": None}, 70, "TracerRadionuclide is missing"),
        ({"TracerRadionuclide": "X1"}, 70, "no nuclide known here"),
        ({}, "n/a", "weight.* is missing"),
        ({}, 0.7, "weight.* is 0.7"),
        ({"ImageDecayCorrected": None}, 70, "ImageDecayCorrected is missing"),
        ({"ImageDecayCorrectionTime": -60}, 70, "lies before InjectionStart"),
        ({"ImageDecayCorrectionTime": 14 * 3600}, 70, "InjectionStart.* does not lie within 12 h"),
        ({"AttenuationCorrection": "none"}, 70, "is not corrected for attenuation"),
        ({"AttenuationCorrection": None}, 70, "AttenuationCorrection is missing"),
        ({"FrameTimesStart": [0, 60], "FrameDuration": [60, 60]}, 70, r"is dynamic \(2 frames\)"),
        ({"InjectionStart": "soon"}, 70, "InjectionStart is no number"),
    ],
)
def test_what_is_missing_or_of_no_person_is_refused_in_the_words_of_bids(tmp_path, changed, weight, message):
    pet = write_subject(tmp_path, "01", weight=weight, **changed)
    with pytest.raises(InputError, match=message) as caught:
        suv_of_bids(pet)
    assert str(pet) in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert "DICOM" not in str(caught.value)
    assert not re.search(r"\([0-9a-f]{4},[0-9a-f]{4}\)", str(caught.value))


def test_weights_of_two_places(tmp_path):
    pet = write_subject(tmp_path, "01", "a", weight=70, BodyWeight=70)
    assert suv_of_bids(pet)[1]["warnings"] == []
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tweight\nses-a\t62\nses-b\t80\n")
    _, record = suv_of_bids(pet)
    assert record["weight_kg"] == 70
    assert "70 kg by BodyWeight and 62 kg by sub-01_sessions.tsv" in record["warnings"][0]
    pet = write_subject(tmp_path, "02", "a", weight=70)
    (tmp_path / "sub-02" / "sub-02_sessions.tsv").write_text("session_id\tweight\nses-a\t62\n")
    assert suv_of_bids(pet)[1]["weight_kg"] == 62
    (tmp_path / "participants.json").write_text(json.dumps({"weight": {"Units": "lb"}}))
    with pytest.raises(InputError, match="weights are in 'lb', not in kg"):
        suv_of_bids(pet)


def test_metadata_are_inherited_from_above(tmp_path):
    pet = write_subject(tmp_path, "01", "a", InjectedRadioactivity=None, TracerName=None)
    (tmp_path / "pet.json").write_text(json.dumps({"InjectedRadioactivity": 100, "TracerName": "PSMA-1007"}))
    (tmp_path / "sub-01" / "sub-01_pet.json").write_text(json.dumps({"InjectedRadioactivity": 350}))
    (tmp_path / "sub-01" / "sub-02_pet.json").write_text(json.dumps({"InjectedRadioactivity": 1}))
    assert suv_of_bids(pet)[1]["dose_bq"] == 350e6
    names = [file.name for file in metadata_files(pet)]
    assert names == ["pet.json", "sub-01_pet.json", "sub-01_ses-a_pet.json", "participants.tsv"]
    assert metadata_files(tmp_path / "SUV.nii.gz") == []


def test_a_pet_without_units_is_taken_as_suv_as_before(tmp_path):
    path = tmp_path / "sub-01_pet.nii.gz"
    write_image(path, suv_image(), AFFINE)
    pet, record = load_pet(path)
    np.testing.assert_array_equal(pet.array, suv_image())
    assert record["source"] == "file"


def test_a_dose_that_cannot_be_in_bq_is_told(tmp_path):
    _, record = suv_of_bids(write_subject(tmp_path, "01", InjectedRadioactivityUnits="Bq"))
    assert record["dose_bq"] == 350e6
    assert record["warnings"] == ["InjectedRadioactivity of 350 Bq was taken to be in MBq"]


# --- Cohort


def test_cohort_of_a_data_set(tmp_path):
    write_subject(tmp_path, "01", "a", mask=True)
    write_subject(tmp_path, "01", "b", TracerName="[68Ga]PSMA-11", TracerRadionuclide="Ga68", InjectedRadioactivity=150,
                  mask=True)  # fmt: skip
    write_subject(tmp_path, "02", TracerName="something")
    write_subject(tmp_path, "03", weight="n/a")
    (tmp_path / "sub-02" / "pet" / "sub-02_clicks.json").write_text("{}")
    result = CliRunner().invoke(app, ["cohort", "bids", str(tmp_path), "--out", str(tmp_path / "cases.tsv")])
    assert result.exit_code == 0, result.output
    assert "sub-03" in result.output
    assert "weight" in result.output
    rows = {study.case: study for study in read_cohort(tmp_path / "cases.tsv")}
    assert {case: (row.tracer, row.patient, row.split) for case, row in rows.items()} == {
        "sub-01_ses-a": ("fdg", "sub-01", "train"),
        "sub-01_ses-b": ("psma", "sub-01", "train"),
        "sub-02": ("", "sub-02", "predict"),
    }
    assert rows["sub-01_ses-a"].label.endswith("sub-01_ses-a_label-lesion_mask.nii.gz")
    assert rows["sub-01_ses-a"].ct.endswith("ses-a/ct/sub-01_ses-a_ct.nii.gz")
    assert rows["sub-02"].clicks.endswith("sub-02_clicks.json")


def test_what_makes_no_study_is_left_with_the_reason(tmp_path):
    write_subject(tmp_path, "01")
    (tmp_path / "sub-01" / "ct" / "sub-01_ct.nii.gz").unlink()
    write_subject(tmp_path, "02")
    (tmp_path / "sub-02" / "ct" / "sub-02_acq-low_ct.nii.gz").write_bytes(b"")
    cohort = build_from_bids(tmp_path)
    assert cohort.rows == []
    left = dict(cohort.left)
    assert "no CT image" in left["sub-01"]
    assert "2 CT images" in left["sub-02"]
    with pytest.raises(InputError, match=r"holds no sub-\*"):
        build_from_bids(tmp_path / "sub-01" / "ct")


def test_two_images_of_a_session_have_names_of_their_own(tmp_path):
    write_subject(tmp_path, "01", entities="_trc-FDG_rec-a")
    write_subject(tmp_path, "01", entities="_trc-FDG_rec-b")
    names = [row["case"] for row in build_from_bids(tmp_path).rows]
    assert names == ["sub-01_trc-FDG_rec-a", "sub-01_trc-FDG_rec-b"]


def test_metadata_hold_nothing_that_identifies(tmp_path):
    pet = write_subject(tmp_path, "01", PatientName="QPLANTEDZZ", TimeZero="10:17:43", InstitutionName="QPLANTEDZZ")
    record = json.dumps(load_pet(pet)[1])
    assert "QPLANTEDZZ" not in record
    assert "10:17" not in record
    assert METADATA["TimeZero"] not in record


# --- Masks with other values


def test_label_values(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 2, 2:5] = 1, 2, 3
    write_image(tmp_path / "mask.nii.gz", labels, AFFINE)
    pet = Image(suv_image(), AFFINE)
    with pytest.raises(InputError, match=r"values other than 0 and 1: 2, 3.*ingest\.label_values"):
        load_label(tmp_path / "mask.nii.gz", pet)
    mask, record = load_label(tmp_path / "mask.nii.gz", pet, values=[1, 3])
    np.testing.assert_array_equal(mask, np.isin(labels, [1, 3]))
    assert mask.dtype == np.uint8
    assert record["warnings"] == ["values 2 were taken as background (ingest.label_values)"]
    assert load_label(tmp_path / "mask.nii.gz", pet, values=[1, 2, 3])[1]["warnings"] == []
    mask, record = load_label(tmp_path / "mask.nii.gz", pet, values=[7])
    assert not mask.any()
    assert "nothing is left" in record["warnings"][0]
