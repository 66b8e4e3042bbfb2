"""CTs of other patients, frames of reference and body parts than the PET's."""

import numpy as np
import pytest
from dicom_maker import uid, write_series

from clickpet.dicom.pairing import compare_volumes, mismatches
from clickpet.dicom.selection import choose_pet_ct
from clickpet.dicom.series import check_headers, load_ct, load_suv
from clickpet.dicom.stack import DicomImage
from clickpet.errors import InputError


@pytest.mark.parametrize("study", ["study", "another"])
def test_a_ct_of_another_patient_is_refused(tmp_path, study):
    write_series(tmp_path / "pet", PatientID="P1")
    write_series(tmp_path / "ct", modality="CT", study=study, PatientID="P2")
    with pytest.raises(InputError, match=r"another patient than the PET \(PatientID \(0010,0020\)") as caught:
        choose_pet_ct(tmp_path)
    assert "P2" not in str(caught.value).replace(str(tmp_path), "")
    pet, ct = load_suv(tmp_path / "pet")[0], load_ct(tmp_path / "ct")
    with pytest.raises(InputError, match="another patient"):
        compare_volumes(pet, ct, tmp_path / "ct")


@pytest.mark.parametrize("patients", [("P1", "P1"), ("P1", None), (None, None), ("", "P1")])
def test_a_ct_of_the_patient_or_of_nobody_is_fine(tmp_path, patients):
    write_series(tmp_path / "pet", PatientID=patients[0])
    write_series(tmp_path / "ct", modality="CT", PatientID=patients[1])
    pet, ct, _ = choose_pet_ct(tmp_path)
    assert mismatches(pet, ct) == []
    assert compare_volumes(load_suv(pet)[0], load_ct(ct), "ct") == []


def test_a_ct_in_another_frame_of_reference_is_told(tmp_path):
    write_series(tmp_path / "pet")
    write_series(tmp_path / "ct", modality="CT", frame="another")
    pet, ct, _ = choose_pet_ct(tmp_path)
    [note] = check_headers(pet, ct)
    assert "another frame of reference (FrameOfReferenceUID (0020,0052))" in note
    assert uid("study", "another") not in note
    assert compare_volumes(load_suv(pet)[0], load_ct(ct), "ct") == [note]


@pytest.mark.parametrize(
    ("start_mm", "slices", "outcome"),
    [(0, 15, None), (-50, 40, None), (0, 7, "covers"), (17, 6, "covers"), (35, 10, "refused"), (200, 15, "refused"),
     (-60, 21, "refused")],
)  # fmt: skip
def test_how_much_of_the_pet_a_ct_covers(tmp_path, start_mm, slices, outcome):
    """PET 0..35 mm."""
    write_series(tmp_path / "pet")
    write_series(tmp_path / "ct", modality="CT", places_mm=start_mm + 3.0 * np.arange(slices))
    if outcome == "refused":
        with pytest.raises(InputError, match=r"covers \d+ % of the PET's length"):
            choose_pet_ct(tmp_path)
        return
    pet, ct, _ = choose_pet_ct(tmp_path)
    told = len(mismatches(pet, ct)), len(compare_volumes(load_suv(pet)[0], load_ct(ct), "ct"))
    assert told == ((1, 1) if outcome else (0, 0))


@pytest.mark.parametrize(("shift_mm", "outcome"), [(0, []), (37, "refused"), (20, "covers"), (-38, "refused")])
def test_coverage_of_volumes_that_were_read_apart(shift_mm, outcome):
    pet = DicomImage(np.zeros((4, 4, 10)), np.diag([4.0, 4.0, 4.0, 1.0]))
    affine = np.diag([2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = 0, 8, shift_mm - 1
    ct = DicomImage(np.zeros((8, 8, 20)), affine)
    if outcome == "refused":
        with pytest.raises(InputError, match="covers"):
            compare_volumes(pet, ct, "ct")
    else:
        assert [text.split()[2] for text in compare_volumes(pet, ct, "ct")] == ([outcome] if outcome else [])
