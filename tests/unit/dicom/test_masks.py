"""Masks from RTSTRUCT and SEG: planes against PET slices, real structure sets."""

import logging
import shutil
import tarfile

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_maker import uid, write_rtstruct, write_series
from pydicom.sr.codedict import codes

from clickpet.dicom.masks import list_regions, load_mask
from clickpet.dicom.series import find_series, load_suv
from clickpet.errors import InputError
from clickpet.images import Image, read_image, resample

#: In `write_series`' default grid: columns every 3 mm from -20, rows every 4 mm from -30, slices every 5 mm from 100.
X0, Y0, Z0 = -20.0, -30.0, 100.0


@pytest.fixture
def pet(tmp_path):
    """A synthetic PET series in tmp_path/pet and its volume."""
    write_series(tmp_path / "pet")
    return load_suv(tmp_path / "pet")[0]


def box(x, y, z):
    """Contour around voxels x[0]..x[1], y[0]..y[1] (stored columns and rows, both ends within) at slice place z."""
    left, right = X0 + 3 * (x[0] - 0.5), X0 + 3 * (x[1] + 0.5)
    upper, lower = Y0 + 4 * (y[0] - 0.5), Y0 + 4 * (y[1] + 0.5)
    place = Z0 + 5 * z
    return np.array([[left, upper, place], [right, upper, place], [right, lower, place], [left, lower, place]])


def boxed(shape, x, y, z):
    """The mask that `box` stands for, on the LAS volume (rows run the other way there)."""
    mask = np.zeros(shape, np.uint8)
    mask[x[0] : x[1] + 1, shape[1] - 1 - y[1] : shape[1] - y[0], z] = 1
    return mask


# --- RTSTRUCT


def test_contours_on_the_pet(tmp_path, pet):
    region = [box((2, 5), (1, 3), z) for z in (2, 3, 4)]
    write_rtstruct(tmp_path / "rs.dcm", {"lesion": region})
    expected = sum(boxed(pet.shape, (2, 5), (1, 3), z) for z in (2, 3, 4))
    mask = load_mask(tmp_path / "rs.dcm", pet)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, expected)
    assert np.array_equal(load_mask(tmp_path, pet), expected)


@pytest.mark.parametrize("off_mm", [-0.07, 0.04, 1.2, -2.2])
def test_planes_a_little_off_find_their_slice(tmp_path, pet, off_mm):
    region = [box((2, 5), (1, 3), z + off_mm / 5) for z in (2, 3, 4)]
    write_rtstruct(tmp_path / "rs.dcm", {"lesion": region})
    assert np.array_equal(
        load_mask(tmp_path / "rs.dcm", pet), sum(boxed(pet.shape, (2, 5), (1, 3), z) for z in (2, 3, 4))
    )


def test_planes_of_a_finer_ct(tmp_path, pet):
    """Contours every 2 mm on slices every 5 mm: each slice takes the nearest plane, none is left out."""
    region = [box((2, 5), (1, 3), (9.0 + step * 2) / 5) for step in range(7)]  # 9..21 mm
    write_rtstruct(tmp_path / "rs.dcm", {"lesion": region})
    mask = load_mask(tmp_path / "rs.dcm", pet)
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [2, 3, 4]


def test_planes_of_a_coarser_ct(tmp_path, pet):
    region = [box((2, 5), (1, 3), place / 5) for place in (8.0, 16.0, 24.0)]
    write_rtstruct(tmp_path / "rs.dcm", {"lesion": region})
    mask = load_mask(tmp_path / "rs.dcm", pet)
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [1, 2, 3, 4, 5]


def test_far_planes_are_not_bridged(tmp_path, pet):
    write_rtstruct(tmp_path / "rs.dcm", {"two": [box((1, 1), (1, 1), 0), box((8, 9), (6, 7), 6)]})
    expected = boxed(pet.shape, (1, 1), (1, 1), 0) + boxed(pet.shape, (8, 9), (6, 7), 6)
    assert np.array_equal(load_mask(tmp_path / "rs.dcm", pet), expected)


def test_regions_are_joined_or_named(tmp_path, pet):
    write_rtstruct(tmp_path / "rs.dcm", {"GTV Mass": [box((1, 2), (1, 2), 1)], "Edema": [box((2, 6), (2, 5), 1)]})
    mass, edema = boxed(pet.shape, (1, 2), (1, 2), 1), boxed(pet.shape, (2, 6), (2, 5), 1)
    assert list_regions(tmp_path / "rs.dcm") == ["GTV Mass", "Edema"]
    assert np.array_equal(load_mask(tmp_path, pet), mass | edema)
    assert np.array_equal(load_mask(tmp_path, pet, roi="gtv  mass"), mass)
    assert np.array_equal(load_mask(tmp_path, pet, roi=["edema"]), edema)
    assert np.array_equal(load_mask(tmp_path, pet, roi=2), edema)
    assert np.array_equal(load_mask(tmp_path, pet, roi=["gtv*", "lesion*"]), mass)
    with pytest.raises(InputError, match=r"no region 'liver'; it has 'GTV Mass', 'Edema'"):
        load_mask(tmp_path, pet, roi="liver")


def test_contours_of_a_coronal_pet(tmp_path):
    """Slices run front to back there: planes are found along whatever axis the contours are flat."""
    write_series(tmp_path / "pet", orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0), origin=(0.0, 0.0, 0.0))
    pet, _ = load_suv(tmp_path / "pet")
    to_world = np.diag([-1.0, -1.0, 1.0, 1.0]) @ pet.affine
    corners = np.array([[1.5, 3, 0.5], [4.5, 3, 0.5], [4.5, 3, 5.5], [1.5, 3, 5.5]])
    write_rtstruct(tmp_path / "rs.dcm", {"x": [corners @ to_world[:3, :3].T + to_world[:3, 3]]})
    expected = np.zeros(pet.shape, np.uint8)
    expected[2:5, 3, 1:6] = 1
    assert np.array_equal(load_mask(tmp_path / "rs.dcm", pet), expected)


def test_contours_beyond_the_pet_are_noted(tmp_path, pet, caplog):
    write_rtstruct(tmp_path / "rs.dcm", {"x": [box((1, 2), (1, 2), z) for z in (6, 7, 8, 9)]})
    with caplog.at_level(logging.WARNING):
        mask = load_mask(tmp_path, pet)
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [6, 7]
    assert "2 of 4 planes lie outside" in caplog.text


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ([box((1, 2), (1, 2), 60)], "does not overlap the PET"),
        ([box((200, 210), (1, 2), 3)], "does not overlap the PET"),
        ([box((1, 2), (1, 2), 1) + np.array([[0, 0, 0], [0, 0, 9], [0, 9, 9], [0, 9, 0]])], "tilted"),
        ([], "no closed contour"),
        ([np.zeros((1, 3))], "no closed contour"),
    ],
)
def test_contours_that_cannot_be_used(tmp_path, pet, region, words):
    write_rtstruct(tmp_path / "rs.dcm", {"x": region})
    with pytest.raises(InputError, match=words) as caught:
        load_mask(tmp_path / "rs.dcm", pet)
    assert "rs.dcm" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_frame_of_reference(tmp_path, pet):
    frame = find_series(tmp_path / "pet")[0].frame_of_reference
    write_rtstruct(tmp_path / "rs.dcm", {"x": [box((1, 2), (1, 2), 1)]}, frame="another")
    assert load_mask(tmp_path / "rs.dcm", pet).any()
    with pytest.raises(InputError, match="another frame of reference"):
        load_mask(tmp_path / "rs.dcm", pet, frames_of_reference=[frame])
    write_rtstruct(tmp_path / "rs.dcm", {"x": [box((1, 2), (1, 2), 1)]})
    assert load_mask(tmp_path / "rs.dcm", pet, frames_of_reference=[frame]).any()


def test_no_object_and_two_objects(tmp_path, pet):
    with pytest.raises(InputError, match="holds no DICOM SEG or RTSTRUCT"):
        load_mask(tmp_path, pet)
    for name in ("a.dcm", "b.dcm"):
        write_rtstruct(tmp_path / name, {"x": [box((1, 2), (1, 2), 1)]})
    with pytest.raises(InputError, match=r"2 SEG or RTSTRUCT objects \(a.dcm, b.dcm\)"):
        load_mask(tmp_path, pet)


# --- SEG


def write_seg(path, folder, stored, *, kind="BINARY", labels=("one",), **more):
    """A SEG by highdicom on the slices of a series; stored (slices, rows, columns)."""
    sources = [pydicom.dcmread(file) for file in sorted(folder.glob("*.dcm"))]
    algorithm = highdicom.AlgorithmIdentificationSequence("x", codes.DCM.ArtificialIntelligence, "1")
    segments = [
        highdicom.seg.SegmentDescription(
            number, label, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "AUTOMATIC", algorithm
        )
        for number, label in enumerate(labels, start=1)
    ]
    highdicom.seg.Segmentation(
        sources, stored, kind, segments, uid(path, 1), 7, uid(path, 2), 1, "x", "x", "1", "1", **more
    ).save_as(path)


@pytest.fixture
def labels():
    """Two segments on the default grid, with empty slices between: (slices, rows, columns)."""
    stored = np.zeros((8, 9, 12), np.uint8)
    stored[1, 2:5, 3:7] = 1
    stored[2, 2:4, 3:6] = 1
    stored[6, 6:8, 9:11] = 2
    return stored


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments(tmp_path, pet, labels, kind):
    write_seg(tmp_path / "seg.dcm", tmp_path / "pet", labels, kind=kind, labels=("one", "two"))
    turned = labels.transpose(2, 1, 0)[:, ::-1]
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet), turned > 0)
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet, roi="one"), turned == 1)
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet, roi=2), turned == 2)
    assert list_regions(tmp_path / "seg.dcm") == ["one", "two"]
    with pytest.raises(InputError, match="no region 'three'"):
        load_mask(tmp_path / "seg.dcm", pet, roi="three")


def test_fractional_segment_counts_from_half_on(tmp_path, pet):
    stored = np.zeros((8, 9, 12))
    stored[3, 4, 2:7] = (0.2, 0.49, 0.51, 0.8, 1.0)
    write_seg(tmp_path / "seg.dcm", tmp_path / "pet", stored, kind="FRACTIONAL", max_fractional_value=200)
    mask = load_mask(tmp_path / "seg.dcm", pet)
    assert np.argwhere(mask).tolist() == [[4, 4, 3], [5, 4, 3], [6, 4, 3]]


def test_segment_on_a_finer_ct(tmp_path, pet):
    """A SEG on CT slices at half the distances, turned by 180 degrees, lands where the PET has it."""
    write_series(
        tmp_path / "ct",
        modality="CT",
        shape=(18, 24),
        pitch_mm=(2.0, 1.5),
        places_mm=np.arange(16) * 2.5,
        orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
        origin=(X0 + 11 * 3 + 0.75, Y0 + 8 * 4 + 1.0, Z0),
    )
    fine = np.zeros((16, 18, 24), np.uint8)
    fine[4:9, 4:10, 6:14] = 1
    write_seg(tmp_path / "seg.dcm", tmp_path / "ct", fine)
    expected = np.zeros((8, 9, 12), bool)
    expected[2:5, 2:5, 3:7] = (
        True  # 2.5 mm slices 4..8 are 10..20 mm, rows 4..9 of 2 mm are rows 2..4, columns 6..13 3..6
    )
    stored = expected[:, ::-1, ::-1]
    assert np.array_equal(load_mask(tmp_path / "seg.dcm", pet), stored.transpose(2, 1, 0)[:, ::-1])


def test_segment_elsewhere(tmp_path, pet, labels):
    write_series(tmp_path / "far", origin=(X0, Y0, 900.0), frame="far")
    write_seg(tmp_path / "seg.dcm", tmp_path / "far", labels, labels=("one", "two"))
    with pytest.raises(InputError, match="does not overlap the PET"):
        load_mask(tmp_path / "seg.dcm", pet)
    with pytest.raises(InputError, match="another frame of reference"):
        load_mask(tmp_path / "seg.dcm", pet, frames_of_reference=[uid("study", "frame")])


def test_broken_segmentation(tmp_path, pet, labels):
    write_seg(tmp_path / "seg.dcm", tmp_path / "pet", labels, labels=("one", "two"))
    whole = (tmp_path / "seg.dcm").read_bytes()
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    dataset.PixelData = dataset.PixelData[:4]
    dataset.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="frames cannot be decoded"):
        load_mask(tmp_path / "seg.dcm", pet)
    (tmp_path / "seg.dcm").write_bytes(whole)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    for group in dataset.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    dataset.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="where it lies"):
        load_mask(tmp_path / "seg.dcm", pet)


# --- Real data


def test_real_structure_sets_equal_the_published_masks(shared_data, tmp_path):
    """GTV drawn on PET equals PET_mask.nii.gz voxel for voxel, in the crop and in the whole body."""
    for name in ("sts_pair_001", "sts_001_wholebody_pet"):
        with tarfile.open(shared_data / "dicom" / f"{name}.tar.xz") as tar:
            tar.extractall(tmp_path, filter="data")
    truth = read_image(shared_data / "sts_nifti" / "STS_001" / "PET_mask.nii.gz", np.uint8)
    whole_body = tmp_path / "sts_001_wholebody_pet" / "FDG_PET"
    for folder, drawn, roi in (
        (tmp_path / "STS_001" / "PET" / "image", tmp_path / "STS_001" / "PET" / "mask", None),
        (tmp_path / "STS_001" / "PET" / "image", tmp_path / "STS_001" / "CT" / "mask", None),
        (whole_body / "image", whole_body / "mask", "GTV_Mass"),
    ):
        series = find_series(folder)[0]
        pet = load_suv(series)[0]
        mask = load_mask(drawn, pet, roi=roi, frames_of_reference=[series.frame_of_reference])
        expected = resample(Image(truth.array, truth.affine), pet.shape, pet.affine, order="nearest")
        assert expected.sum() == truth.array.sum() == 5095
        if "CT" in drawn.parts:  # other points, drawn on CT pixels
            overlap = 2 * int((mask & expected).sum()) / int(mask.sum() + expected.sum())
            assert overlap > 0.999
        else:
            assert np.array_equal(mask, expected), drawn
    shutil.rmtree(tmp_path)


def test_reference_object_regions(shared_data, tmp_path):
    with tarfile.open(shared_data / "dicom" / "suv_dro.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    pet = load_suv(tmp_path / "DRO_0_0" / "PT")[0]
    mask = load_mask(tmp_path / "DRO_0_0" / "RS", pet) > 0
    values = pet.array[mask]
    assert (values.min(), np.median(values), values.max()) == pytest.approx((0.2, 1.0, 4.0), rel=1e-3)
    whole = read_image(tmp_path / "DRO_0_0" / "mask" / "DRO_mask.nii.gz")
    assert not (mask & (resample(whole, pet.shape, pet.affine, order="nearest") == 0)).any()
