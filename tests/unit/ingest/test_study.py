"""Labels onto the PET's grid: other axis orders are turned, other places are refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from dicom_maker import write_rtstruct, write_series

from clickpet.errors import InputError
from clickpet.images import Image, write_image
from clickpet.ingest import study
from clickpet.ingest.study import load_ct, load_label, load_pet, read_ct

AFFINE = np.array([[-4.0, 0, 0, 20], [0, 4, 0, -25], [0, 0, 5, 100], [0, 0, 0, 1]])


@pytest.fixture
def pet_and_truth():
    truth = np.random.default_rng(3).random((7, 6, 5)) > 0.7
    return Image(np.zeros(truth.shape, np.float32), AFFINE), truth


@pytest.mark.parametrize("axes", ["LAS", "LPS", "RAS", "RPI", "SAL", "PSR"])
def test_a_label_stored_in_another_axis_order_is_turned(tmp_path, pet_and_truth, axes):
    pet, truth = pet_and_truth
    file = nib.Nifti1Image(truth.astype(np.uint8), AFFINE)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    nib.save(file.as_reoriented(turn), tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(load_label(tmp_path / "label.nii.gz", pet)[0], truth)


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3))[1:])
def test_a_label_that_lies_elsewhere_is_not_turned_into_place(tmp_path, pet_and_truth, flips):
    pet, truth = pet_and_truth
    write_image(tmp_path / "label.nii.gz", truth, np.diag([*flips, 1.0]) @ AFFINE)
    with pytest.raises(InputError, match="its grid"):
        load_label(tmp_path / "label.nii.gz", pet)


def test_the_record_of_a_label(tmp_path):
    pet = Image(np.zeros((48, 48, 24), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    truth = np.zeros(pet.shape, np.uint8)
    truth[2:4, 2:4, 2:4] = 1
    write_image(tmp_path / "label.nii.gz", truth, pet.affine)
    mask, record = load_label(tmp_path / "label.nii.gz", pet)
    np.testing.assert_array_equal(mask, truth)
    assert record == {"source": "file", "warnings": []}
    square = np.array([[-40, -40, 40.0], [-20, -40, 40.0], [-20, -20, 40.0], [-40, -20, 40.0]])
    write_rtstruct(tmp_path / "rs.dcm", {"x": [square, square]})
    mask, record = load_label(tmp_path / "rs.dcm", pet)
    assert mask.sum() == 25
    assert record["source"] == "RTSTRUCT"
    assert record["warnings"] == ["region 'x': 1 contours are stored twice; each was taken once"]


def test_a_ct_that_does_not_belong_to_the_pet(tmp_path):
    air = np.full((8, 9, 12), -1000, np.int16)
    write_series(tmp_path / "pet", PatientID="P1")
    write_series(tmp_path / "ct", modality="CT", pixels=air, frame="another", PatientID="P1")
    write_series(tmp_path / "other", modality="CT", pixels=air, PatientID="P2")
    pet, _ = load_pet(tmp_path / "pet")
    _, record = load_ct(tmp_path / "ct", pet)
    [warning] = record["warnings"]
    assert "another frame of reference" in warning
    with pytest.raises(InputError, match="another patient"):
        load_ct(tmp_path / "other", pet)
    write_image(tmp_path / "suv.nii.gz", pet.array, pet.affine)
    assert load_ct(tmp_path / "other", load_pet(tmp_path / "suv.nii.gz")[0])[1]["warnings"] == []


# --- values that are no SUV and no HU, CTs that cover little --------------------------------------------------

SHAPE = (24, 22, 30)


def save(path, array, affine=AFFINE):
    write_image(path, array, affine)
    return path


@pytest.fixture
def body():
    x, y, _ = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.broadcast_to((x - 12) ** 2 / 64 + (y - 11) ** 2 / 49 < 1, SHAPE)


@pytest.mark.parametrize("factor", [60, 380, 500])
def test_a_pet_in_bq_per_ml_below_5000_is_no_suv(tmp_path, body, factor):
    suv = np.where(body, 1.0, 0.01).astype(np.float32)
    suv[12, 11, 15] = 9
    path = save(tmp_path / "pet.nii.gz", suv * np.float32(factor))
    with pytest.raises(
        InputError, match=rf"values from .* to {9 * factor}, \d+% of the voxels above 50 are no SUV in g/ml; give"
    ):
        load_pet(path)


def test_a_hot_bladder_is_an_suv(tmp_path, body):
    suv = np.where(body, 1.0, 0.01).astype(np.float32)
    suv[10:14, 10:13, 3:6] = 180
    image, audit = load_pet(save(tmp_path / "pet.nii.gz", suv))
    np.testing.assert_array_equal(image.array, suv)
    assert audit == {"source": "file", "rule": "taken as SUV (body weight) as it is", "warnings": []}


def test_what_reading_told_is_in_the_records(tmp_path, body):
    for name, array in (
        ("pet", np.where(body, 1.0, 0.01).astype(np.float32)),
        ("ct", np.where(body, 40, -1000).astype(np.int16)),
        ("label", (body * 0).astype(np.uint8)),
    ):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")  # nibabel tells no unit
    pet, audit = load_pet(tmp_path / "pet.nii.gz")
    _, ct = load_ct(tmp_path / "ct.nii.gz", pet)
    _, label = load_label(tmp_path / "label.nii.gz", pet)
    told = ["no unit of length is told (xyzt_units): taken as millimetres"]
    assert [audit["warnings"], ct["warnings"], label["warnings"]] == [told] * 3


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_padding_below_air_is_air(tmp_path, body, padding):
    pet = Image(np.ones(SHAPE, np.float32), AFFINE)
    hu = np.where(body, 40, -1000).astype(np.int16)
    expected, record = load_ct(save(tmp_path / "ct.nii.gz", hu), pet)
    assert record["warnings"] == []
    hu[:2] = hu[-2:] = padding
    found, record = load_ct(save(tmp_path / "padded.nii.gz", hu), pet)
    assert record["warnings"] == [f"CT values down to {padding} HU (padding) were taken as air (-1024 HU)"]
    np.testing.assert_array_equal(found[2:-2], expected[2:-2])
    assert set(np.unique(found[:2])) == {-1024}


@pytest.mark.parametrize("axes", ["LAS", "PIR", "SRA"])
@pytest.mark.parametrize(("offset", "corner"), [(1024, 24), (0, 1024), (0, 0), (0, 3071)])
def test_a_ct_without_air_in_its_corners_is_told(tmp_path, body, axes, offset, corner):
    """Values moved by 1024 beside padding that looks like air; or air beside padding that looks like tissue or bone."""
    hu = np.where(body, 40, -1000).astype(np.int16) + np.int16(offset)
    if offset:
        hu[:, :, 0] = -1024
    else:
        hu[:4] = hu[-4:] = corner
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    nib.save(nib.Nifti1Image(hu, AFFINE).as_reoriented(turn), tmp_path / "ct.nii.gz")
    _, record = load_ct(tmp_path / "ct.nii.gz", Image(np.ones(SHAPE, np.float32), AFFINE))
    [told] = [text for text in record["warnings"] if "unit" not in text]
    assert f"the corners of the CT hold {corner} HU where there should be air" in told


@pytest.mark.parametrize("axes", ["LAS", "RPI", "PSR"])
@pytest.mark.parametrize(
    ("slices", "outcome"),
    [(slice(0, 30), None), (slice(1, 30), None), (slice(0, 20), "covers 20 of the 30 slices"),
     (slice(10, 18), "covers 8 of"), (slice(14, 15), "refused"), (slice(0, 1), "refused")],
)  # fmt: skip
def test_how_many_slices_of_the_pet_a_ct_covers(tmp_path, body, axes, slices, outcome):
    hu = np.where(body, 40, -1000).astype(np.int16)[:, :, slices]
    affine = AFFINE.copy()
    affine[2, 3] += slices.start * AFFINE[2, 2]
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    file = nib.Nifti1Image(hu, affine).as_reoriented(turn)
    file.header.set_xyzt_units("mm")
    nib.save(file, tmp_path / "ct.nii.gz")
    pet = Image(np.ones(SHAPE, np.float32), AFFINE)
    if outcome == "refused":
        with pytest.raises(
            InputError, match=r"ct\.nii\.gz: covers 1 of the 30 slices of the PET; give the CT of the same"
        ):
            load_ct(tmp_path / "ct.nii.gz", pet)
        return
    found, record = load_ct(tmp_path / "ct.nii.gz", pet)
    np.testing.assert_allclose(found[:, :, slices], hu, atol=1e-3)
    assert len(record["warnings"]) == (outcome is not None)
    assert outcome is None or outcome in record["warnings"][0]


def test_coverage_is_judged_as_for_dicom():
    from clickpet.dicom import pairing

    assert (study.LEAST_COVERAGE, study.FULL_COVERAGE) == (pairing.LEAST_COVERAGE, pairing.FULL_COVERAGE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.float32(1.0000001), "1.0000001;"), (0.99999994, "0.99999994;"), (1e-9, "1e-09;"), (0.7, "0.7;"),
     (np.int16(255), "255;"), (np.nan, "nan;"), (np.int16(-1), "-1;")],
)  # fmt: skip
def test_values_of_a_label_that_are_not_0_and_1_are_shown(tmp_path, pet_and_truth, value, shown):
    pet, truth = pet_and_truth
    path = save(tmp_path / "label.nii.gz", np.where(truth, value, 0).astype(np.asarray(value).dtype))
    with pytest.raises(InputError, match="other than 0 and 1") as caught:
        load_label(path, pet)
    assert f"holds values other than 0 and 1: {shown}" in str(caught.value)


@pytest.mark.parametrize("scale", [1 + 2.5e-4, 1 + 2e-3])
def test_a_label_grid_that_prints_the_same_is_told_apart(tmp_path, scale):
    big = np.zeros((300, 10, 10), np.uint8)
    path = save(tmp_path / "label.nii.gz", big, AFFINE @ np.diag([scale, 1, 1, 1]))
    with pytest.raises(InputError, match=r"a corner .* mm off") as caught:
        load_label(path, Image(np.broadcast_to(np.float32(0), big.shape), AFFINE))
    own, wanted = str(caught.value).split("its grid (")[1].split(") is not the PET's (")
    assert own.split(", a corner")[0] != wanted.split(");")[0]


def test_a_folder_with_the_name_of_a_volume(tmp_path):
    write_series(tmp_path / "pet.nii.gz")
    assert load_pet(tmp_path / "pet.nii.gz")[1]["source"] == "DICOM"
    (tmp_path / "ct.nii.gz").mkdir()
    save(tmp_path / "ct.nii.gz" / "ct.nii", np.full(SHAPE, -1000, np.int16))
    with pytest.raises(InputError, match=r"ct\.nii\.gz: is a folder, not a file; give the file in it \(ct\.nii\)"):
        read_ct(tmp_path / "ct.nii.gz")
