"""Finding, choosing and loading DICOM series: synthetic archives, SimpleITK as the judge of geometry, real studies."""

import json
import shutil
import tarfile
import warnings

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_maker import AXIAL, HALF_LIFE_S, PLANTED, expected_suv_factor, uid, write_rtstruct, write_series
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from clickpet.dicom.series import (
    choose_pet_ct,
    find_series,
    find_studies,
    is_dicom,
    load_ct,
    load_suv,
)
from clickpet.errors import InputError
from clickpet.images import Image, read_image, resample

TILTED_PLANE = (0.9659258, 0.0, 0.2588190, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SWAPPED = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
FEET_UP = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def archives(shared_data, tmp_path_factory):
    """The real DICOM archives, unpacked."""
    root = tmp_path_factory.mktemp("dicom")
    for archive in sorted((shared_data / "dicom").glob("*.tar.xz")):
        with tarfile.open(archive) as tar:
            tar.extractall(root / archive.name.removesuffix(".tar.xz"), filter="data")
    return root


def value_at(image, point_ras):
    """The voxel of an Image at a world point (its centre), read off the affine."""
    index = np.linalg.inv(image.affine) @ (*point_ras, 1.0)
    assert np.allclose(index, np.round(index), atol=1e-3)
    return image.array[tuple(np.round(index[:3]).astype(int))]


# --- Finding


def test_finds_series_and_passes_over_the_rest(tmp_path):
    write_series(tmp_path / "a", modality="PT", slices=6)
    write_series(tmp_path / "b", modality="CT", slices=7)
    write_rtstruct(tmp_path / "c" / "rs.dcm", {"x": [np.zeros((3, 3))]})
    (tmp_path / "notes.txt").write_text("not DICOM " * 40)
    (tmp_path / "b" / "broken.dcm").write_bytes(b"")
    (tmp_path / "b" / "Thumbs.db").write_bytes(bytes(range(256)) * 4)
    found = find_series(tmp_path)
    assert [(series.modality, series.slices) for series in found] == [("PT", 6), ("CT", 7), ("RTSTRUCT", 1)]
    assert found[0].attenuation_corrected is True
    assert found[0].frame_of_reference == uid("study", "frame")
    assert found[1].folder == tmp_path / "b"


def test_identity_is_not_even_read(tmp_path):
    write_series(tmp_path)
    header = find_series(tmp_path)[0].headers[0]
    for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber", "InstitutionName", "StudyDescription"):
        assert keyword not in header


def test_labels_and_reprs_name_nothing_that_identifies(tmp_path):
    write_series(tmp_path)
    series = find_series(tmp_path)[0]
    for text in (series.label(), str(series), repr(series)):
        for secret in (*PLANTED.values(), series.study, series.frame_of_reference, series.patient):
            assert secret not in text


def test_a_file_stands_for_its_series(tmp_path):
    write_series(tmp_path, name="one", slices=6)
    for file in list(tmp_path.iterdir()):
        file.rename(tmp_path / f"one_{file.name}")
    write_series(tmp_path, name="two", slices=7, frame="other")
    assert [series.slices for series in find_series(tmp_path / "pt003.dcm")] == [7]
    assert load_suv(tmp_path / "one_pt000.dcm")[0].shape[2] == 6
    assert is_dicom(tmp_path / "pt003.dcm")
    assert is_dicom(tmp_path)


def test_no_dicom_file_and_no_folder(tmp_path):
    (tmp_path / "image.nii").write_bytes(b"\0" * 400)
    assert not is_dicom(tmp_path / "image.nii")
    with pytest.raises(InputError, match="not a DICOM file"):
        find_series(tmp_path / "image.nii")
    with pytest.raises(InputError, match="no such folder"):
        find_series(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no PET series \(no DICOM at all\)"):
        load_suv(tmp_path)


def test_old_files_without_preamble(tmp_path):
    def save(dataset, path):
        bare = pydicom.Dataset(dataset)
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"

    write_series(tmp_path / "old", save=save)
    write_series(tmp_path / "new")
    assert np.array_equal(load_suv(tmp_path / "old")[0].array, load_suv(tmp_path / "new")[0].array)


def test_studies_are_kept_apart(tmp_path):
    for study in ("s1", "s2"):
        write_series(tmp_path / study / "pet", study=study)
        write_series(tmp_path / study / "ct", study=study, modality="CT")
    studies = find_studies(tmp_path)
    assert [[series.modality for series in study] for study in studies] == [["CT", "PT"], ["CT", "PT"]]
    assert len({series.patient for study in studies for series in study}) == 1


# --- Choosing


def test_chooses_pet_and_ct_of_a_hospital_study(tmp_path):
    """AC and NAC, lung and soft kernel, scout, MIP, dose report, an extra bed, RTSTRUCT, all in one export."""
    write_series(tmp_path / "ac", slices=10, number=4, name="ac")
    write_series(tmp_path / "nac", slices=10, number=5, name="nac", CorrectedImage=["DECY"])
    write_series(tmp_path / "bed", slices=5, number=6, name="bed")
    write_series(tmp_path / "soft", modality="CT", slices=12, number=2, name="soft", ConvolutionKernel="B30f")
    write_series(tmp_path / "lung", modality="CT", slices=12, number=3, name="lung", ConvolutionKernel="B70f")
    write_series(
        tmp_path / "chest", modality="CT", slices=6, gap_mm=3, number=7, name="chest", ConvolutionKernel="B30f"
    )
    write_series(tmp_path / "other", modality="CT", slices=12, number=8, name="other", frame="elsewhere")
    write_series(
        tmp_path / "scout", modality="CT", slices=1, name="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    write_series(tmp_path / "mip", slices=6, name="mip", ImageType=["DERIVED", "SECONDARY", "MIP"])
    write_series(tmp_path / "capture", modality="CT", slices=6, name="capture", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    write_rtstruct(tmp_path / "rs.dcm", {"x": [np.zeros((3, 3))]})
    pet, ct, reasons = choose_pet_ct(tmp_path)
    assert (pet.folder.name, ct.folder.name) == ("ac", "soft")
    told = "\n".join(reasons)
    assert len(reasons) == 9
    for words in (
        "not attenuation-corrected",
        "an extra bed",
        "sharp kernel",
        "covers less of the PET",
        "another frame of reference",
        "localizer",
        "projection",
        "secondary capture",
        "not needed (RTSTRUCT)",
    ):
        assert words in told
    assert load_suv(tmp_path)[0].shape == (12, 9, 10)
    assert load_ct(tmp_path).shape == (12, 9, 12)


def test_scout_inside_the_ct_series_is_set_apart(tmp_path):
    def scout(dataset, index):
        if index == 0:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            dataset.ImageOrientationPatient = list(CORONAL)

    write_series(tmp_path, modality="CT", slices=9, change=scout)
    assert load_ct(tmp_path).shape[2] == 8


def test_two_candidates_are_an_error_that_lists_them(tmp_path):
    write_series(tmp_path / "tof", slices=10, number=4, name="tof")
    write_series(tmp_path / "psf", slices=12, number=5, name="psf")
    with pytest.raises(InputError, match=r"2 PET series that fit: PT with 12 slices.*; PT with 10 slices") as caught:
        load_suv(tmp_path)
    assert "series number 4" in str(caught.value)
    assert "give the folder of one series" in str(caught.value)
    assert load_suv(tmp_path / "tof")[0].shape[2] == 10


def test_ct_that_covers_the_pet_is_preferred(tmp_path):
    write_series(tmp_path / "pet", slices=10)
    write_series(tmp_path / "whole", modality="CT", slices=20, gap_mm=2.5, name="whole")
    write_series(tmp_path / "part", modality="CT", slices=8, gap_mm=2.5, name="part")
    assert choose_pet_ct(tmp_path)[1].folder.name == "whole"
    shutil.rmtree(tmp_path / "pet")
    with pytest.raises(InputError, match="2 CT series"):
        load_ct(tmp_path)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, "enhanced"),
        ({"SeriesType": ["DYNAMIC", "IMAGE"]}, "dynamic"),
        ({"SeriesType": ["GATED", "IMAGE"]}, "gated"),
        ({"slices": 3}, "only 3 slices"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "projection"),
    ],
)
def test_pet_that_is_no_volume_is_named(tmp_path, attributes, words):
    write_series(tmp_path, **attributes)
    with pytest.raises(InputError, match=words):
        load_suv(tmp_path)


def test_wrong_modality(tmp_path):
    write_series(tmp_path / "ct", modality="CT")
    with pytest.raises(InputError, match=r"holds no PET series \(1 of CT\)"):
        load_suv(tmp_path / "ct")
    with pytest.raises(InputError, match="belongs to a series of CT, not PT"):
        load_suv(tmp_path / "ct" / "ct000.dcm")
    with pytest.raises(InputError, match="is CT, not PT"):
        load_suv(find_series(tmp_path)[0])


def test_uncorrected_pet_alone_is_refused_with_its_tag(tmp_path):
    write_series(tmp_path, CorrectedImage=["DECY"])
    with pytest.raises(InputError, match=r"attenuation.*\(0028,0051\)"):
        load_suv(tmp_path)


# --- Geometry


@pytest.mark.parametrize("orientation", [AXIAL, TILTED_PLANE, CORONAL, SWAPPED, FEET_UP])
@pytest.mark.parametrize("reverse", [False, True])
def test_geometry_agrees_with_simpleitk(tmp_path, orientation, reverse):
    places = np.arange(7) * 5.0
    write_series(
        tmp_path, modality="CT", places_mm=places[::-1] if reverse else places, orientation=orientation, intercept=-1000
    )
    mine = load_ct(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs = reader.Execute()
    size = theirs.GetSize()
    assert sorted(size) == sorted(mine.shape)
    assert nib.aff2axcodes(mine.affine) == ("L", "A", "S")
    for index in np.ndindex(size):
        x, y, z = theirs.TransformIndexToPhysicalPoint(index)
        assert value_at(mine, (-x, -y, z)) == theirs.GetPixel(index)


def test_slices_have_their_own_slope(tmp_path):
    slopes = np.linspace(0.5, 3.0, 8)
    datasets = write_series(tmp_path, slopes=slopes)
    image, audit = load_suv(tmp_path)
    for index, dataset in enumerate(datasets):
        expected = dataset.pixel_array * float(dataset.RescaleSlope) * expected_suv_factor()
        got = image.array[:, ::-1, index].T
        assert np.allclose(got, expected, rtol=1e-6)
    assert image.array.dtype == np.float32
    assert audit["factor"] == pytest.approx(expected_suv_factor(), rel=1e-9)
    assert audit["half_life_s"] == HALF_LIFE_S


def test_beds_with_their_own_time_and_no_decay_correction(tmp_path):
    def bed(dataset, index):
        dataset.AcquisitionTime = "111000" if index < 4 else "112000"

    write_series(
        tmp_path, change=bed, DecayCorrection="NONE", CorrectedImage=["ATTN"], pixels=np.full((8, 9, 12), 100, np.int16)
    )
    image, audit = load_suv(tmp_path)
    middle_s = 59.9369  # of the frames of 120 s
    below, above = (100 * expected_suv_factor(delta_t_s=start_s + middle_s) for start_s in (4200, 4800))
    assert np.allclose(image.array[:, :, :4], below, rtol=1e-6)
    assert np.allclose(image.array[:, :, 4:], above, rtol=1e-6)
    assert audit["delta_t_range_s"] == [4259.937, 4859.937]


def test_slightly_uneven_gaps_give_the_mean_spacing(tmp_path):
    places = np.cumsum([0, 3.27, 3.27, 3.19, 3.29, 3.27, 3.27])
    write_series(tmp_path, places_mm=places)
    image, audit = load_suv(tmp_path)
    assert image.spacing_mm[2] == pytest.approx(places[-1] / 6)
    geometry = audit["geometry"]
    assert geometry["slice_gaps_mm"] == [3.19, 3.29]
    assert geometry["off_even_mm"] == pytest.approx(np.abs(places - np.arange(7) * places[-1] / 6).max(), abs=1e-4)
    assert not geometry["resampled_to_even_slices"]


def test_uneven_gaps_are_resampled(tmp_path):
    places = np.array([0, 4, 8, 12, 16, 21, 26, 30, 34])
    values = np.repeat((places * 10).astype(np.int16), 9 * 12).reshape(-1, 9, 12)
    write_series(tmp_path, places_mm=places, pixels=values)
    image, audit = load_suv(tmp_path)
    assert audit["geometry"]["resampled_to_even_slices"]
    expected = np.linspace(0, 340, 9) * expected_suv_factor()  # a ramp stays a ramp
    assert np.allclose(image.array[3, 4], expected, rtol=1e-5)
    assert image.spacing_mm[2] == pytest.approx(34 / 8)


@pytest.mark.parametrize(("gap", "missing"), [(7.4, False), (7.6, True), (10.0, True)])
def test_missing_slice(tmp_path, gap, missing):
    places = np.cumsum([0, 5, 5, 5, gap, 5, 5, 5, 5])
    write_series(tmp_path, places_mm=places)
    if missing:
        with pytest.raises(InputError, match=r"about 1 slice is missing.*pt003.dcm and pt004.dcm"):
            load_suv(tmp_path)
    else:
        assert load_suv(tmp_path)[1]["geometry"]["resampled_to_even_slices"]


def test_half_a_body_is_refused(tmp_path):
    write_series(tmp_path, slices=8, NumberOfSlices=16)
    with pytest.raises(InputError, match=r"8 of the 16 slices.*\(0054,0081\)"):
        load_suv(tmp_path)


def test_doubled_slices(tmp_path):
    write_series(tmp_path)
    before = load_suv(tmp_path)[0]
    shutil.copy(tmp_path / "pt002.dcm", tmp_path / "copy.dcm")
    after, audit = load_suv(tmp_path)
    assert np.array_equal(before.array, after.array)
    assert audit["geometry"]["doubled_slices_dropped"] == 1
    changed = pydicom.dcmread(tmp_path / "copy.dcm")
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(tmp_path / "copy.dcm")
    with pytest.raises(InputError, match="same position as"):
        load_suv(tmp_path)


def test_tilted_gantry_is_refused(tmp_path):
    def tilt(dataset, index):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + 0.3 * index * 5, z]

    write_series(tmp_path, modality="CT", change=tilt)
    with pytest.raises(InputError, match="tilted gantry"):
        load_ct(tmp_path)


def test_shifted_slice_is_refused(tmp_path):
    def shift(dataset, index):
        if index == 4:
            dataset.ImagePositionPatient[0] += 3

    write_series(tmp_path, change=shift)
    with pytest.raises(InputError, match=r"shifted against each other by up to 3\.0 mm"):
        load_suv(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("ImageOrientationPatient", list(TILTED_PLANE), "not parallel"),
        ("ImageOrientationPatient", [1, 0, 0, 0.7, 0.7, 0], "not parallel"),
        ("PixelSpacing", [4.0, 4.0], "another matrix or pixel size"),
        ("ImagePositionPatient", None, r"ImagePositionPatient \(0020,0032\) is missing"),
        ("RescaleSlope", None, r"RescaleSlope \(0028,1053\) is missing"),
    ],
)
def test_one_odd_slice_is_named(tmp_path, keyword, value, words):
    def odd(dataset, index):
        if index == 3:
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    write_series(tmp_path, change=odd)
    with pytest.raises(InputError, match=words) as caught:
        load_suv(tmp_path)
    assert "pt003.dcm" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- Pixels


def test_ct_padding_becomes_air(tmp_path):
    pixels = np.full((8, 9, 12), 1050, np.int16)
    pixels[:, 0, :] = -2000
    write_series(tmp_path, modality="CT", pixels=pixels, intercept=-1024, PixelPaddingValue=-2000)
    image = load_ct(tmp_path)
    assert set(np.unique(image.array)) == {-1024.0, 26.0}
    assert (image.array == -1024).sum() == 8 * 12


def test_unsigned_pixels(tmp_path):
    pixels = np.full((8, 9, 12), 60000, np.uint16)
    write_series(tmp_path, modality="CT", pixels=pixels, intercept=-1024)
    assert load_ct(tmp_path).array.max() == 58976


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_series(tmp_path, syntax):
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls", reason="only pyjpegls writes JPEG-LS")
    write_series(tmp_path / "plain", shape=(48, 64), slices=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_series(tmp_path / "small", shape=(48, 64), slices=5, transfer_syntax=syntax)
    assert pydicom.dcmread(tmp_path / "small" / "pt000.dcm").file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(load_suv(tmp_path / "plain")[0].array, load_suv(tmp_path / "small")[0].array)


def test_jpeg_lossless_series(tmp_path):
    def save(dataset, path):
        plain, small = path.with_suffix(".plain"), path.with_suffix(".small.dcm")
        dataset.save_as(plain, enforce_file_format=True)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(small))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.Cast(sitk.ReadImage(str(plain)), sitk.sitkInt16))
        compressed = pydicom.dcmread(small)
        dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
        dataset.PixelData = compressed.PixelData
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path, enforce_file_format=True)
        plain.unlink()
        small.unlink()

    write_series(tmp_path / "plain", modality="CT")
    write_series(tmp_path / "small", modality="CT", save=save)
    assert pydicom.dcmread(tmp_path / "small" / "ct000.dcm").file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(load_ct(tmp_path / "plain").array, load_ct(tmp_path / "small").array)


def test_truncated_pixels_are_named(tmp_path):
    write_series(tmp_path)
    file = tmp_path / "pt004.dcm"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"pt004.dcm: its pixels cannot be decoded \(Explicit VR Little Endian"):
        load_suv(tmp_path)


def test_damaged_header_is_named(tmp_path):
    write_series(tmp_path)
    file = tmp_path / "pt004.dcm"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"pt004\.dcm|missing"):
        load_suv(tmp_path)


def test_colour_images_are_refused(tmp_path):
    def colour(dataset, index):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 8, 8, 7
        dataset.PixelData = bytes(9 * 12 * 3)

    write_series(tmp_path, modality="CT", change=colour)
    with pytest.raises(InputError, match="no grey-value slice"):
        load_ct(tmp_path)


# --- Real data


def test_reference_objects(archives):
    """Every object of the collection at 0.20 / 1.00 / 4.00 within 0.4 %, inside its NIfTI mask."""
    folders = sorted((archives / "suv_dro").glob("DRO_*/"))
    assert len(folders) == 9
    for folder in folders:
        image, audit = load_suv(folder / "PT")
        mask = read_image(folder / "mask" / "DRO_mask.nii.gz")
        inside = image.array[resample(mask, image.shape, image.affine, order="nearest") > 0]
        got = inside.min(), np.median(inside), inside.max()
        assert got == pytest.approx((0.2, 1.0, 4.0), rel=0.004), (folder.name, audit["rule"])


def _activity(delta_t_s, half_life_s=HALF_LIFE_S, dose_bq=350e6):
    """Bq/ml of SUV 1 in the maker's patient of 70 kg."""
    return dose_bq * 2 ** (-delta_t_s / half_life_s) / 70000


def _private(group, element, value, vr="DS"):
    def change(dataset, index):
        dataset.add_new((group, element), vr, value)

    return change


def _bed_times(dataset, index):
    dataset.AcquisitionTime = f"11{index:02d}00"


#: name: (attributes that differ from the maker's, stored value of SUV 1); the IBSI collection and what hospitals add.
REFERENCE_KINDS = {
    "series time after acquisition": ({"SeriesTime": "113000", "AcquisitionTime": "110500"}, _activity(3900)),
    "no series time": ({"SeriesTime": None, "AcquisitionTime": "110500.250000"}, _activity(3900.25)),
    "GE's private time": (
        {"SeriesTime": "113000", "AcquisitionTime": "110500",
         "change": _private(0x0009, 0x100D, "20240713110200.00", "LO")}, _activity(3720)),
    "GE's private time without need": ({"change": _private(0x0009, 0x100D, "20240713090000.00", "LO")},
                                       _activity(3600)),
    "not decay-corrected, beds at their own times": (
        {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], "change": _bed_times},
        lambda index: _activity(3659.937 + 60 * index)),
    "not decay-corrected, though DECY is told": (
        {"DecayCorrection": "NONE", "change": _bed_times}, lambda index: _activity(3659.937 + 60 * index)),
    "decay-corrected to injection": ({"DecayCorrection": "ADMIN", "RadiopharmaceuticalStartTime": None},
                                     _activity(0)),
    "date and time of injection only": (
        {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20240713101500.500000"},
        _activity(2699.5)),
    "midnight between": (
        {"RadiopharmaceuticalStartTime": "233000", "SeriesTime": "003000", "AcquisitionTime": "003000"},
        _activity(3600)),
    "midnight between, with dates": (
        {"RadiopharmaceuticalStartTime": "233000", "RadiopharmaceuticalStartDateTime": "20240712233000",
         "SeriesTime": "003000", "AcquisitionTime": "003000"}, _activity(3600)),
    "dates shifted apart": ({"RadiopharmaceuticalStartDateTime": "19991231100000"}, _activity(3600)),
    "injection in another time zone": (
        {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20240713080000.0+0000",
         "TimezoneOffsetFromUTC": "+0200"}, _activity(3600)),
    "gallium": ({"RadionuclideHalfLife": "4057.74"}, _activity(3600, 4057.74)),
    "zirconium, two days later": (
        {"RadionuclideHalfLife": "282276", "RadiopharmaceuticalStartDateTime": "20240711100000"},
        _activity(2 * 86400 + 3600, 282276)),
    "dose in MBq": ({"RadionuclideTotalDose": "350"}, _activity(3600)),
    "weight in grams": ({"PatientWeight": "70000"}, _activity(3600)),
    "SUV by body weight": ({"Units": "GML", "SUVType": "BW", "PatientWeight": None}, 1.0),
    "SUV without its type": ({"Units": "GML", "RadionuclideTotalDose": None}, 1.0),
    "SUV by lean body mass": ({"Units": "GML", "SUVType": "LBMJAMES128", "PatientSex": "M"}, 55.297578 / 70),
    "SUV by ideal weight, other sex": ({"Units": "GML", "SUVType": "IBW", "PatientSex": "O"},
                                       ((48 + 1.06 * 18) + (45.5 + 0.91 * 18)) / 2 / 70),
    "SUV by body surface": ({"Units": "CM2ML", "SUVType": "BSA"}, 0.007184 * 70**0.425 * 170**0.725 * 1e4 / 70000),
    "counts with the SUV factor": ({"Units": "CNTS", "change": _private(0x7053, 0x1000, "0.0005")}, 2000.0),
    "counts with the activity factor": (
        {"Units": "CNTS", "change": _private(0x7053, 0x1009, "2.5")}, _activity(3600) / 2.5),
    "counts whose SUV factor is 0": (
        {"Units": "CNTS", "change": lambda dataset, index: (_private(0x7053, 0x1000, "0")(dataset, index),
                                                            _private(0x7053, 0x1009, "2.5")(dataset, index))},
        _activity(3600) / 2.5),
    "pixels with an intercept": ({"intercept": -0.1 * _activity(3600)}, _activity(3600)),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFERENCE_KINDS)
def test_reference_objects_that_are_made_here(tmp_path, kind):
    """Files whose stored values say SUV 0.2, 1 and 4 come out as that, whatever unit, clock and correction they use."""
    attributes, value_of_one = REFERENCE_KINDS[kind]
    attributes = dict(attributes)
    intercept = attributes.pop("intercept", 0.0)
    per_slice = np.array([value_of_one(index) if callable(value_of_one) else value_of_one for index in range(6)])
    levels = np.tile(np.array([0.2, 1.0, 4.0]), (6, 4, 1))
    pixels = np.rint(levels * 5000).astype(np.int16)
    if intercept:
        pixels = np.rint((levels - intercept / per_slice[0]) * 5000).astype(np.int16)
    write_series(tmp_path, pixels=pixels, slices=6, slopes=per_slice / 5000, intercept=intercept, **attributes)
    image, audit = load_suv(tmp_path)
    assert np.unique(image.array.round(3)) == pytest.approx([0.2, 1.0, 4.0], rel=0.001), audit["rule"]
    assert not {"QPLANTED", "20240713"} & set(json.dumps(audit).split('"'))


def test_whole_body_pet_against_the_cropped_suv_of_the_same_patient(archives, shared_data):
    image, audit = load_suv(archives / "sts_001_wholebody_pet")
    assert image.shape == (128, 128, 267)
    assert audit["delta_t_s"] == 2711
    assert audit["geometry"]["slice_gaps_mm"] == [3.19, 3.29]
    crop = read_image(shared_data / "sts_nifti" / "STS_001" / "PET_image.nii.gz", np.float32)
    mine = resample(image, crop.shape, crop.affine)
    assert np.abs(mine - crop.array).max() < 1e-3
    warm = crop.array > 0.5
    assert (np.abs(mine - crop.array)[warm] / crop.array[warm]).max() < 2e-3


def test_dicom_pair_against_the_nifti_pair(archives, shared_data):
    folder = archives / "sts_pair_001"
    nifti = shared_data / "sts_nifti" / "STS_001"
    pet, ct = load_suv(folder)[0], load_ct(folder)
    for mine, file, tolerance in ((pet, "PET_image", 1e-4), (ct, "CT_image", 0.01)):
        theirs = read_image(nifti / f"{file}.nii.gz", np.float32)
        assert mine.shape == theirs.shape
        flipped = Image(mine.array[:, ::-1], None)
        assert np.abs(flipped.array - theirs.array).max() < tolerance
        assert np.abs(resample(mine, theirs.shape, theirs.affine) - theirs.array).max() < tolerance
    chosen = choose_pet_ct(folder)
    assert (chosen[0].slices, chosen[1].slices) == (59, 59)


def test_records_are_json(archives):
    audit = load_suv(archives / "sts_pair_001")[1]
    assert json.loads(json.dumps(audit))["units"] == "GML"
