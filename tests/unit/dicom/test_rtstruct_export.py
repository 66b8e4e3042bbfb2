"""Masks to RTSTRUCT: contours read back by our own reader and by plastimatch, holes, slices of PET and CT, identity."""

import shutil
import tarfile

import numpy as np
import pydicom
import pytest
from dicom_checks import needs_dciodvfy, needs_plastimatch, plastimatch_regions, standard_errors
from dicom_maker import PLANTED, uid, write_series

from clickpet.dicom.masks import load_mask
from clickpet.dicom.rtstruct_export import write_rtstruct
from clickpet.dicom.seg_export import write_seg
from clickpet.dicom.series import choose_pet_ct, find_series, load_suv
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import number_lesions
from clickpet.outlines import signed_area


def lesions(shape) -> np.ndarray:
    """A ring with an island in its hole, a lesion of two parts a slice, one voxel, and two that touch at a corner."""
    numbers = np.zeros(shape, np.uint16)
    numbers[1:8, 1:8, 1:4] = 1
    numbers[2:7, 2:7, 1:4] = 0
    numbers[4, 4, 2] = 1
    numbers[9:11, 1:3, 4:6] = 2
    numbers[9:11, 6:8, 4:6] = 2
    numbers[11, 8, 7] = 3
    numbers[2, 2, 6] = numbers[3, 3, 6] = 4
    return numbers


def dice(one, other) -> float:
    return 2 * np.count_nonzero((one > 0) & (other > 0)) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.fixture
def study(tmp_path):
    """A PET, a CT with thinner slices in the same frame of reference, and lesions on the PET's grid."""
    write_series(tmp_path / "pet", slices=9)
    write_series(tmp_path / "ct", modality="CT", slices=22, gap_mm=2.0, origin=(-20.0, -30.0, 99.0), shape=(18, 24),
                 pitch_mm=(2.0, 1.5))  # fmt: skip
    pet = load_suv(tmp_path / "pet")[0]
    return tmp_path / "pet", tmp_path / "ct", pet, lesions(pet.shape)


@pytest.mark.parametrize("orientation", [(1.0, 0, 0, 0, 1.0, 0), (0, 1.0, 0, 1.0, 0, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_each_region_reads_back_as_its_lesion(tmp_path, orientation):
    write_series(tmp_path / "pet", slices=9, orientation=orientation)
    pet = load_suv(tmp_path / "pet")[0]
    numbers = lesions(pet.shape) if pet.shape == (12, 9, 9) else lesions((12, 9, 9)).transpose(1, 0, 2)
    write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, tmp_path / "pet", case="c")
    for number in (1, 2, 3, 4):
        back = load_mask(tmp_path / "rt.dcm", pet, roi=f"Lesion {number}")
        np.testing.assert_array_equal(back, numbers == number)


def test_contours_and_segments_agree(tmp_path, study):
    folder, ct, pet, numbers = study
    for on, series in (("pet", None), ("ct", ct)):
        write_rtstruct(tmp_path / f"{on}.dcm", numbers, pet.affine, folder, case="c", ct=series)
        write_seg(tmp_path / "seg.dcm", numbers, pet.affine, folder, case="c")
        for roi in ("Lesion 1", "Lesion 2", "Lesion 3", "Lesion 4", None):
            from_contours, from_seg = (load_mask(tmp_path / f"{name}.dcm", pet, roi=roi) for name in (on, "seg"))
            assert dice(from_contours, from_seg) == 1


@needs_plastimatch
def test_another_program_fills_the_contours_to_the_same_lesions(tmp_path, study):
    folder, ct, pet, numbers = study
    for on, series in ((folder, None), (ct, ct)):
        path = tmp_path / f"{on.name}.dcm"
        write_rtstruct(path, numbers, pet.affine, folder, case="c", ct=series)
        found = plastimatch_regions(path, on, pet, tmp_path / f"filled_{on.name}")
        assert set(found) == {"Lesion 1", "Lesion 2", "Lesion 3", "Lesion 4"}
        for number in (1, 2, 3, 4):
            assert dice(found[f"Lesion {number}"], numbers == number) >= 0.98


def test_volumes_of_the_contours_are_those_of_the_voxels(tmp_path, study):
    folder, _, pet, numbers = study
    write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="c")
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    for item in made.ROIContourSequence:
        area_mm2 = 0.0
        for contour in item.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            assert np.ptp(points[:, 2]) == 0
            area_mm2 += abs(signed_area(points[:, :2]))
        voxels = np.count_nonzero(numbers == item.ReferencedROINumber)
        assert area_mm2 * 5.0 == pytest.approx(voxels * 3 * 4 * 5)


def test_every_contour_names_the_slice_that_it_lies_on(tmp_path, study):
    folder, ct, pet, numbers = study
    for on, series in ((folder, None), (ct, ct)):
        write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="c", ct=series)
        made = pydicom.dcmread(tmp_path / "rt.dcm")
        places = {
            str(one.SOPInstanceUID): float(one.ImagePositionPatient[2]) for one in map(pydicom.dcmread, on.iterdir())
        }
        (frame,) = made.ReferencedFrameOfReferenceSequence
        (listed,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
        assert {str(image.ReferencedSOPInstanceUID) for image in listed.ContourImageSequence} == set(places)
        for item in made.ROIContourSequence:
            for contour in item.ContourSequence:
                (image,) = contour.ContourImageSequence
                assert float(contour.ContourData[2]) == pytest.approx(places[str(image.ReferencedSOPInstanceUID)])


def test_regions_have_the_names_and_tracking_of_the_segments(tmp_path, study):
    folder, _, pet, numbers = study
    write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="c")
    write_seg(tmp_path / "seg.dcm", numbers, pet.affine, folder, case="c", identity="source")
    regions = pydicom.dcmread(tmp_path / "rt.dcm").StructureSetROISequence
    segments = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert [(one.ROIName, one.ROIDescription) for one in regions] == [
        (one.TrackingID, one.TrackingUID) for one in segments
    ]
    assert len({one.ROIDescription for one in regions}) == 4
    assert {one.ROIGenerationAlgorithm for one in regions} == {"SEMIAUTOMATIC"}


def test_uneven_slices_keep_the_places_of_their_headers(tmp_path):
    places = [0, 4, 8, 12, 16, 21, 26, 30, 34]
    write_series(tmp_path / "pet", places_mm=places)
    pet = load_suv(tmp_path / "pet")[0]
    write_rtstruct(tmp_path / "rt.dcm", np.ones(pet.shape, bool), pet.affine, tmp_path / "pet", case="c")
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    drawn = [float(contour.ContourData[2]) for contour in made.ROIContourSequence[0].ContourSequence]
    assert drawn == [100.0 + place for place in places]


def test_no_lesions_give_one_region_without_contours(tmp_path, study):
    folder, _, pet, numbers = study
    write_rtstruct(tmp_path / "rt.dcm", numbers * 0, pet.affine, folder, case="c")
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    (region,), (item,) = made.StructureSetROISequence, made.ROIContourSequence
    assert (region.ROIName, region.ROIDescription, "ContourSequence" in item) == ("Lesion", "", False)
    if shutil.which("dciodvfy"):
        assert standard_errors(tmp_path / "rt.dcm") == []


def test_same_input_same_bytes(tmp_path, study):
    folder, ct, pet, numbers = study
    for run in (1, 2):
        write_rtstruct(tmp_path / f"{run}.dcm", numbers, pet.affine, folder, case="c")
    assert (tmp_path / "1.dcm").read_bytes() == (tmp_path / "2.dcm").read_bytes()
    write_rtstruct(tmp_path / "ct.dcm", numbers, pet.affine, folder, case="c", ct=ct)
    write_rtstruct(tmp_path / "source.dcm", numbers, pet.affine, folder, case="c", identity="source")
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.glob("*.dcm")}) == 3


@pytest.mark.parametrize("identity", ["case", "source"])
def test_identity(tmp_path, study, identity):
    folder, _, pet, numbers = study
    write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="study 7", identity=identity)
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    assert made.StudyInstanceUID == uid("study")
    assert made.FrameOfReferenceUID == uid("study", "frame")
    planted = [text for text in PLANTED.values() if text.encode() in (tmp_path / "rt.dcm").read_bytes()]
    if identity == "case":
        assert planted == []
        assert (str(made.PatientName), made.PatientIdentityRemoved, made.PatientBirthDate) == ("study 7", "YES", "")
    else:
        assert str(made.PatientName) == PLANTED["PatientName"]
        kept = ("OperatorsName", "InstitutionName", "PatientComments", "PatientAddress", "StationName")
        assert not {PLANTED[name] for name in kept} & set(planted)


@needs_dciodvfy
@pytest.mark.parametrize("identity", ["case", "source"])
def test_the_object_is_valid(tmp_path, study, identity):
    folder, ct, pet, numbers = study
    for name, given, series in (("pet", numbers, None), ("ct", numbers, ct)):
        write_rtstruct(tmp_path / f"{name}.dcm", given, pet.affine, folder, case="a^b", ct=series, identity=identity)
        assert standard_errors(tmp_path / f"{name}.dcm") == []


def test_a_ct_that_cannot_carry_contours(tmp_path, study):
    folder, _, pet, numbers = study
    write_series(tmp_path / "other", modality="CT", frame="another")
    with pytest.raises(InputError, match="another frame of reference than the PET"):
        write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="c", ct=tmp_path / "other")
    write_series(tmp_path / "tilted", modality="CT", orientation=(1.0, 0, 0, 0, 0.8, 0.6))
    with pytest.raises(InputError, match="is tilted against the PET"):
        write_rtstruct(tmp_path / "rt.dcm", numbers, pet.affine, folder, case="c", ct=tmp_path / "tilted")
    with pytest.raises(InputError, match="is not the PET's"):
        write_rtstruct(tmp_path / "rt.dcm", numbers[:, :, :8], pet.affine, folder, case="c")
    assert not (tmp_path / "rt.dcm").exists()


@needs_dciodvfy
@needs_plastimatch
def test_a_sarcoma_study(tmp_path, shared_data):
    with tarfile.open(shared_data / "dicom" / "sts_pair_001.tar.xz") as archive:
        archive.extractall(tmp_path / "sts", filter="data")
    pet_series, ct_series, _ = choose_pet_ct(find_series(tmp_path / "sts"))
    pet = load_suv(pet_series)[0]
    numbers = number_lesions(pet.array > 3)
    numbers[numbers > 4] = 0
    write_seg(tmp_path / "seg.dcm", numbers, pet.affine, pet_series, case="sarcoma 1")
    assert standard_errors(tmp_path / "seg.dcm") == []
    for name, ct, folder in (("pet", None, pet_series.folder), ("ct", ct_series, ct_series.folder)):
        path = tmp_path / f"{name}.dcm"
        write_rtstruct(path, numbers, pet.affine, pet_series, case="sarcoma 1", ct=ct)
        assert standard_errors(path) == []
        found = plastimatch_regions(path, folder, pet, tmp_path / f"filled_{name}")
        for number in (1, 2, 3, 4):
            own, seg = (load_mask(file, pet, roi=f"Lesion {number}") for file in (path, tmp_path / "seg.dcm"))
            np.testing.assert_array_equal(seg, numbers == number)
            assert dice(own, seg) >= 0.98
            assert dice(found[f"Lesion {number}"], seg) >= 0.98
