"""Masks back to DICOM SEG: geometry, references, identity, determinism, and that nothing of a person gets out."""

import io
import json
import logging
import tarfile

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_maker import PLANTED, uid, write_rtstruct, write_series

from clickpet.dicom.masks import load_mask
from clickpet.dicom.seg_export import write_seg
from clickpet.dicom.series import choose_pet_ct, find_series, load_ct, load_suv
from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.images import write_image

CASE = "fdg_0a1b2c3d4e_01-02-2003-NA-PET-CT Ganzkoerper  primaer mit KM-12345"


@pytest.fixture
def study(tmp_path):
    """A PET series and a mask on its grid with two values."""
    write_series(tmp_path / "pet", slices=9)
    pet = load_suv(tmp_path / "pet")[0]
    mask = np.zeros(pet.shape, np.uint8)
    mask[2:5, 3:6, 1:4] = 1
    mask[8:10, 1:3, 6] = 2
    return tmp_path / "pet", pet, mask


@pytest.mark.parametrize("orientation", [(1.0, 0, 0, 0, 1.0, 0), (0, 1.0, 0, 1.0, 0, 0), (1.0, 0, 0, 0, 0, -1.0)])
def test_mask_lies_on_the_slices_it_came_from(tmp_path, orientation):
    """Every frame points to the PET slice at its place, whose pixels are above the threshold where it is 1."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 1000, (8, 9, 12)).astype(np.int16)
    write_series(tmp_path / "pet", pixels=pixels, orientation=orientation)
    pet, audit = load_suv(tmp_path / "pet")
    write_seg(tmp_path / "seg.dcm", pet.array > 700 * audit["factor"], pet.affine, tmp_path / "pet", case=CASE)
    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm")
    slices = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, (tmp_path / "pet").iterdir())}
    frames = segmentation.pixel_array
    assert len(frames) == 8
    for frame, group in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        source = slices[str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)]
        assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
        assert np.array_equal(frame, source.pixel_array > 700)


def test_round_trip_and_segments(tmp_path, study):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, folder, case=CASE)
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet), mask > 0)
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet, roi="Lesion 2"), mask == 2)
    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert segmentation.SegmentationType == "BINARY"
    assert [item.SegmentLabel for item in segmentation.SegmentSequence] == ["Lesion 1", "Lesion 2"]
    assert {item.SegmentAlgorithmType for item in segmentation.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert segmentation.NumberOfFrames == 4
    write_seg(tmp_path / "one.dcm", mask > 0, pet.affine, folder / "pt003.dcm", case=CASE, semiautomatic=False)
    one = highdicom.seg.segread(tmp_path / "one.dcm")
    assert [(item.SegmentLabel, item.SegmentAlgorithmType) for item in one.SegmentSequence] == [
        ("Lesion 1", "AUTOMATIC")
    ]


def test_lesion_numbers_with_gaps_become_segments_without(tmp_path, study):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", np.where(mask == 2, 40, mask).astype(np.int32), pet.affine, folder, case=CASE)
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet, roi=2), mask == 2)


def test_empty_mask(tmp_path, study):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", mask * 0, pet.affine, folder, case=CASE)
    assert not load_mask(tmp_path / "seg.dcm", pet).any()
    assert highdicom.seg.segread(tmp_path / "seg.dcm").NumberOfFrames == 9


def test_same_input_same_bytes(tmp_path, study):
    folder, pet, mask = study
    for identity in ("case", "source"):
        paths = [tmp_path / f"{identity}{run}.dcm" for run in (1, 2)]
        for path in paths:
            write_seg(path, mask, pet.affine, folder, case=CASE, identity=identity)
        assert paths[0].read_bytes() == paths[1].read_bytes()
    write_seg(tmp_path / "other.dcm", mask == 1, pet.affine, folder, case=CASE)
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.glob("*.dcm")}
    assert len(uids) == 3


def test_identity_of_the_source_is_inherited_on_demand(tmp_path, study):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, folder, case=CASE, identity="source")
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate", "StudyDescription"):
        assert str(made.get(keyword)) == PLANTED[keyword]
    assert made.StudyInstanceUID == uid("study")
    assert made.FrameOfReferenceUID == uid("study", "frame")
    assert made.SeriesInstanceUID != uid("study", "PT", "series")


def test_identity_is_the_case_by_default(tmp_path, study):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, folder, case=CASE)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (str(made.PatientName), made.PatientID) == (CASE[:64], CASE[:64])
    assert (made.PatientBirthDate, made.StudyDate, made.AccessionNumber) == ("", "", "")
    assert made.PatientIdentityRemoved == "YES"
    assert made.StudyInstanceUID == uid("study")


@pytest.mark.parametrize("case", ["a^b=c\\d", "Müller 7", "日本"])
def test_odd_case_names(tmp_path, study, case):
    folder, pet, mask = study
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, folder, case=case)
    expected = "a_b_c_d" if "^" in case else case
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName) == expected
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientID == expected


def test_names_in_other_alphabets_survive(tmp_path):
    name = "Yamada^Tarou=山田^太郎"
    write_series(tmp_path / "pet", SpecificCharacterSet="ISO_IR 192", PatientName=name)
    pet = load_suv(tmp_path / "pet")[0]
    write_seg(tmp_path / "seg.dcm", pet.array > 1, pet.affine, tmp_path / "pet", case=CASE, identity="source")
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName) == name


# --- Odd headers


def set_raw(keyword, text):
    """A change for `write_series` that stores a text as it is, valid or not; None removes the attribute."""

    def change(dataset, index):
        tag = pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword))
        if text is None:
            dataset.pop(tag, None)
            return
        stored = text.encode() + b" " * (len(text.encode()) % 2)
        vr = pydicom.datadict.dictionary_VR(keyword)
        dataset[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(stored), stored, 0, False, True)

    return change


def exported(folder, identity, change):
    with pydicom.config.disable_value_validation():
        write_series(folder / "pet", slices=5, change=change)
    pet = load_suv(folder / "pet")[0]
    write_seg(folder / "seg.dcm", pet.array > 1, pet.affine, folder / "pet", case="c", identity=identity)
    assert np.array_equal(load_mask(folder / "seg.dcm", pet), pet.array > 1)
    with pydicom.config.disable_value_validation():
        return pydicom.dcmread(folder / "seg.dcm")


OPTIONAL = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "SeriesDate", "SeriesTime", "StudyDescription", "SliceThickness",
    "SpacingBetweenSlices", "PositionReferenceIndicator", "Manufacturer", "SpecificCharacterSet", "InstanceNumber",
    "SeriesNumber", "PatientPosition",
)  # fmt: skip


@pytest.mark.parametrize("keyword", OPTIONAL)
@pytest.mark.parametrize("text", [None, "", "x" * 70, "a\\b", "-1,5"])
def test_no_optional_attribute_ends_an_export(tmp_path, keyword, text):
    for identity in ("case", "source"):
        made = exported(tmp_path / identity, identity, set_raw(keyword, text))
        for needed in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID"):
            assert needed in made


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("PatientSex", "male", ""),
        ("PatientSex", "f", "F"),
        ("PatientSex", "O", "O"),
        ("PatientBirthDate", "1970", ""),
        ("PatientBirthDate", "19700230", ""),
        ("PatientBirthDate", "19700228", "19700228"),
        ("StudyDate", "2024-07-13", ""),
        ("StudyTime", "99", ""),
        ("StudyTime", "110000.5", "110000.5"),
        ("StudyID", "a study ID that is too long", "a study ID that is too long"),
    ],
)
def test_odd_values_of_the_source(tmp_path, keyword, text, expected):
    assert str(exported(tmp_path, "source", set_raw(keyword, text)).get(keyword)) == expected


@pytest.mark.parametrize(("text", "date"), [("20240713", "20240713"), ("yesterday", "19000101"), (None, "19000101")])
def test_the_date_of_the_content_is_the_series_or_none(tmp_path, text, date):
    assert exported(tmp_path, "source", set_raw("SeriesDate", text)).ContentDate == date


@pytest.mark.parametrize(
    ("keyword", "text", "thickness"),
    [
        ("SpacingBetweenSlices", "-5", 5),
        ("SpacingBetweenSlices", "0", 5),
        ("SpacingBetweenSlices", "nan", 5),
        ("SliceThickness", "-5", 5),
        ("SliceThickness", "0", 5),
        ("SliceThickness", "", 5),
        ("SliceThickness", None, 5),
        ("SliceThickness", "5,0", 5),
        ("SliceThickness", "1e9", 5),
        ("SliceThickness", "8", 8),
        ("SliceThickness", "2", 2),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_spacing_and_thickness_are_positive(tmp_path, keyword, text, thickness, reverse):
    def change(dataset, index):
        if reverse:
            dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], 200.0 - 5 * index]
        set_raw(keyword, text)(dataset, index)

    made = exported(tmp_path, "case", change)
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (float(measures.SliceThickness), float(measures.SpacingBetweenSlices)) == (thickness, 5)
    assert [float(edge) for edge in measures.PixelSpacing] == [4, 3]


def test_spacing_of_uneven_slices_is_their_mean(tmp_path):
    write_series(tmp_path / "pet", places_mm=[0, 3.27, 6.54, 9.73, 13.02, 16.29])
    pet = load_suv(tmp_path / "pet")[0]
    write_seg(tmp_path / "seg.dcm", pet.array > 1, pet.affine, tmp_path / "pet", case="c")
    measures = pydicom.dcmread(tmp_path / "seg.dcm").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(16.29 / 5)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("text", [None, ""])
def test_a_missing_uid_is_one_line(tmp_path, keyword, text):
    with pytest.raises(InputError, match=f"{keyword} is missing; SEG, RTSTRUCT and SR need it"):
        exported(tmp_path, "case", set_raw(keyword, text))


# --- Grids


def test_mask_of_another_grid(tmp_path, study):
    folder, pet, mask = study
    with pytest.raises(InputError, match=r"grid \(12x9x8 at .*is not the PET's \(12x9x9 at "):
        write_seg(tmp_path / "seg.dcm", mask[:, :, :8], pet.affine, folder, case=CASE)
    with pytest.raises(InputError, match="is not the PET's"):
        write_seg(tmp_path / "seg.dcm", mask, pet.affine @ np.diag([1, 1, 1.1, 1]), folder, case=CASE)
    assert not (tmp_path / "seg.dcm").exists()


def test_uneven_slices_get_the_mask_of_the_nearest_even_slice(tmp_path):
    write_series(tmp_path / "pet", places_mm=[0, 4, 8, 12, 16, 21, 26, 30, 34])  # even: 0, 4.25, 8.5, ... 34
    pet, audit = load_suv(tmp_path / "pet")
    assert audit["geometry"]["resampled_to_even_slices"]
    mask = np.zeros(pet.shape, np.uint8)
    for z in range(9):
        mask[z, :, z] = 1
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, tmp_path / "pet", case=CASE)
    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm")
    groups = segmentation.PerFrameFunctionalGroupsSequence
    column_at = {
        group.PlanePositionSequence[0].ImagePositionPatient[2] - 100: int(np.flatnonzero(frame.any(axis=0))[0])
        for group, frame in zip(groups, segmentation.pixel_array, strict=True)
    }
    assert column_at == {0: 0, 4: 1, 8: 2, 12: 3, 16: 4, 21: 5, 26: 6, 30: 7, 34: 8}


def test_real_pet(shared_data, tmp_path):
    with tarfile.open(shared_data / "dicom" / "sts_pair_001.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "STS_001" / "PET"
    pet = load_suv(folder)[0]
    mask = load_mask(folder / "mask", pet)
    write_seg(tmp_path / "seg.dcm", mask, pet.affine, folder, case="STS_001")
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet), mask)
    assert highdicom.seg.segread(tmp_path / "seg.dcm").NumberOfFrames == np.count_nonzero(mask.any(axis=(0, 1)))


# --- Nothing of a person gets out

#: UIDs that a SEG has to repeat to be found by viewers; every other string is forbidden in it.
REFERENCES = {uid("study"), uid("study", "frame"), uid("study", "PT", "series")}
SECRETS = set(PLANTED.values()) | {part for value in PLANTED.values() for part in value.split("^")}


def found_in(data: bytes, secrets) -> list[str]:
    return [secret for secret in secrets if secret.encode() in data]


def test_no_identity_in_outputs_records_and_logs(tmp_path, study, caplog, capsys):
    folder, pet, mask = study
    write_series(tmp_path / "ct", modality="CT", slices=9)
    caplog.set_level(logging.DEBUG)
    image, audit = load_suv(folder)
    chosen = choose_pet_ct(find_series(tmp_path))
    out = tmp_path / "out"
    write_image(out / "suv.nii.gz", image.array, image.affine)
    write_image(out / "ct.nii.gz", load_ct(tmp_path / "ct").array, image.affine)
    write_json(out / "case.json", {"case": CASE, "suv": audit})
    write_seg(out / "seg.dcm", mask, pet.affine, folder, case=CASE)
    secrets = SECRETS | REFERENCES | {uid("study", "PT", "series", index) for index in range(9)}
    for path in ("case.json", "suv.nii.gz", "ct.nii.gz"):
        data = (out / path).read_bytes()
        data = bytes(nib.load(out / path).header.binaryblock) if path.endswith("gz") else data
        assert found_in(data, secrets) == [], path
    assert found_in((out / "seg.dcm").read_bytes(), SECRETS) == []
    printed = capsys.readouterr()
    texts = [caplog.text, printed.out, printed.err, *map(repr, chosen), *map(str, chosen[:2]), *chosen[2]]
    texts += [json.dumps(audit)]
    assert found_in("\n".join(texts).encode(), secrets) == []


def test_odd_values_are_not_repeated_in_warnings(tmp_path, caplog, capsys, recwarn):
    """A name in the wrong place: pydicom would warn with the value in it."""
    caplog.set_level(logging.DEBUG)
    odd = "qplanted-in-the-wrong-place, much too long for it"

    def change(dataset, index):
        for keyword in ("ImageType", "ConvolutionKernel", "SeriesNumber", "SUVType", "PatientSex", "Manufacturer"):
            dataset.add_new(pydicom.datadict.tag_for_keyword(keyword), "LO", odd)
        dataset.SOPInstanceUID = f"1.2.3.{index}"

    write_series(tmp_path / "pet", change=change)
    recwarn.clear()
    caplog.clear()
    image, audit = load_suv(tmp_path / "pet")
    write_seg(tmp_path / "seg.dcm", image.array > 1, image.affine, tmp_path / "pet", case=CASE)
    label = find_series(tmp_path / "pet")[0].label()
    printed = capsys.readouterr()
    texts = [str(one.message) for one in recwarn] + [caplog.text, printed.out, printed.err, json.dumps(audit), label]
    assert "qplanted" not in "\n".join(texts)


def everything_refused(tmp_path):
    """(name, function that must raise InputError) for a broken input of every kind."""

    def broken(name, load=load_suv, **attributes):
        folder = tmp_path / name
        write_series(folder, **attributes)
        return name, lambda: load(folder)

    def odd(keyword, value):
        return lambda dataset, index: setattr(dataset, keyword, value) if index == 3 else None

    yield broken("attenuation", CorrectedImage=["DECY"])
    yield broken("weight", PatientWeight=None)
    yield broken("weight_text", change=lambda dataset, index: dataset.__setattr__("PatientWeight", "0"))
    yield broken("dose", RadionuclideTotalDose=None)
    yield broken("half_life", RadionuclideHalfLife=None)
    yield broken("start", RadiopharmaceuticalStartTime=None)
    yield broken("late", RadiopharmaceuticalStartTime="113000")
    yield broken("units", Units="PROPCNTS")
    yield broken("counts", Units="CNTS")
    yield broken("decay", DecayCorrection=None)
    yield broken("decay_code", DecayCorrection="NEVER")
    yield broken("sex", Units="GML", SUVType="IBW", PatientSex=None)
    yield broken("height", Units="CM2ML", PatientSize=None)
    yield broken("enhanced", SOPClassUID="1.2.840.10008.5.1.4.1.1.130")
    yield broken("dynamic", SeriesType=["DYNAMIC", "IMAGE"])
    yield broken("half", NumberOfSlices=30)
    yield broken("few", slices=2)
    yield broken("gap", places_mm=[0, 5, 10, 25, 30, 35])
    yield broken("turned", change=odd("ImageOrientationPatient", [1, 0, 0, 0, 0, 1]))
    yield broken("pitch", change=odd("PixelSpacing", [9, 9]))
    yield broken("slope", RescaleSlope=None)
    yield broken("mixed", change=odd("Units", "GML"))
    yield broken("times", change=odd("SeriesTime", "120000"))
    yield broken("not_pet", load=load_ct)
    yield broken("not_ct", load=load_suv, modality="CT")
    write_series(tmp_path / "two" / "a", name="a")
    write_series(tmp_path / "two" / "b", name="b", slices=9)
    yield "two", lambda: load_suv(tmp_path / "two")
    yield "two studies", lambda: choose_pet_ct(tmp_path / "two")
    write_series(tmp_path / "cut")
    (tmp_path / "cut" / "pt004.dcm").write_bytes((tmp_path / "cut" / "pt004.dcm").read_bytes()[:-90])
    yield "cut", lambda: load_suv(tmp_path / "cut")
    write_series(tmp_path / "good")
    pet = load_suv(tmp_path / "good")[0]
    write_rtstruct(tmp_path / "far.dcm", {"x": [np.eye(3) * [10, 10, 0] + 5000]}, frame="elsewhere")
    yield "far", lambda: load_mask(tmp_path / "far.dcm", pet)
    yield "frame", lambda: load_mask(tmp_path / "far.dcm", pet, frames_of_reference=[uid("study", "frame")])
    yield "roi", lambda: load_mask(tmp_path / "far.dcm", pet, roi="y")
    yield "no mask", lambda: load_mask(tmp_path / "good", pet)
    yield "grid", lambda: write_seg(tmp_path / "s.dcm", np.zeros((3, 3, 3)), pet.affine, tmp_path / "good", case=CASE)


def test_no_identity_in_any_error(tmp_path, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    told = io.StringIO()
    secrets = SECRETS | REFERENCES | {uid("study", "PT", "series", index) for index in range(9)}
    kinds = 0
    for name, act in everything_refused(tmp_path):
        with pytest.raises(InputError) as caught:
            act()
        message = str(caught.value)
        assert "\n" not in message, name
        assert str(tmp_path) in message, (name, message)
        assert "; " in message, (name, message)
        told.write(message + "\n")
        kinds += 1
    assert kinds >= 30
    printed = capsys.readouterr()
    everything = (told.getvalue() + caplog.text + printed.out + printed.err).encode()
    assert found_in(everything, secrets) == []
