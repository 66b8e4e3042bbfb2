"""Structure sets as people and programs draw them: fine and coarse planes, repeats, specks, overlap, holes."""

import numpy as np
import pydicom
import pytest
from dicom_maker import write_rtstruct, write_series

from clickpet.dicom.masks import load_mask, read_mask
from clickpet.dicom.series import load_suv
from clickpet.errors import InputError

#: Slices every 4 mm from 0, pixels of 4 mm, the middle of the matrix at 0, 0.
SLICE_MM, EDGE, SLICES = 4.0, 48, 24
FULL = 177  # voxel centres in a disc of 30 mm


@pytest.fixture(scope="module")
def pet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pet")
    write_series(folder, slices=SLICES, shape=(EDGE, EDGE), pitch_mm=(4.0, 4.0), gap_mm=SLICE_MM,
                 origin=(-96.0, -96.0, 0.0))  # fmt: skip
    return load_suv(folder)[0]


def disc(z, radius=30.0, x=0.0, y=0.0):
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn), np.full(40, z)])


def box(z, x, y, edge):
    corners = np.array([[0, 0], [edge, 0], [edge, edge], [0, edge]], float) + np.array([x, y])
    return np.column_stack([corners, np.full(4, z)])


def read(path, pet, **regions):
    """Voxels a slice, and warnings."""
    write_rtstruct(path / "rs.dcm", regions)
    mask, record = read_mask(path / "rs.dcm", pet)
    assert record["source"] == "RTSTRUCT"
    return mask.sum(axis=(0, 1)).tolist(), record["warnings"]


def everywhere(first, last):
    """FULL in the slices first..last, 0 elsewhere."""
    return [FULL if first <= index <= last else 0 for index in range(SLICES)]


@pytest.mark.parametrize("gap", [0.1, 0.25, 0.4, 0.5, 0.7, 1.0, 1.3, 2.0, 4.0])
def test_planes_closer_together_than_slices(tmp_path, pet, gap):
    counts, warnings = read(tmp_path, pet, x=[disc(z) for z in np.arange(28, 56.01, gap)])
    assert counts[7:15] == [FULL] * 8
    assert sum(counts) == 8 * FULL
    assert warnings == []


@pytest.mark.parametrize("gap", [0.4, 1.0])
@pytest.mark.parametrize("inner", [8.0, 20.0])
def test_fine_planes_keep_their_holes(tmp_path, pet, gap, inner):
    planes = [contour for z in np.arange(28, 56.01, gap) for contour in (disc(z), disc(z, inner))]
    counts, warnings = read(tmp_path, pet, x=planes)
    hole = read(tmp_path, pet, x=[disc(40.0, inner)])[0][10]
    assert hole >= 10
    assert counts[7:15] == [FULL - hole] * 8
    assert warnings == []


@pytest.mark.parametrize("off_mm", [0.0, 0.1])
@pytest.mark.parametrize("along", ["x", "z"])
@pytest.mark.parametrize("copies", [2, 3])
def test_a_contour_that_is_stored_again(tmp_path, pet, off_mm, along, copies):
    shift = np.array([off_mm, 0, 0]) if along == "x" else np.array([0, 0, off_mm])
    contours = [disc(z) + copy * shift for z in (36.0, 40.0, 44.0) for copy in range(copies)]
    counts, warnings = read(tmp_path, pet, x=contours)
    assert counts == everywhere(9, 11)
    assert len(warnings) == 1
    assert f"{3 * (copies - 1)} contours are stored twice" in warnings[0]


def test_one_repeated_slice_and_a_repeated_hole(tmp_path, pet):
    contours = [disc(36.0), disc(40.0), disc(40.0), disc(44.0), disc(44.0, 12.0), disc(44.0, 12.0)]
    counts, warnings = read(tmp_path, pet, x=contours)
    ring = read(tmp_path, pet, x=[disc(44.0), disc(44.0, 12.0)])[0][11]
    assert counts[9:12] == [FULL, FULL, ring]
    assert "2 contours are stored twice" in warnings[0]


@pytest.mark.parametrize("edge", [0.3, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("place", [(0.0, 0.0), (60.0, 60.0)])
@pytest.mark.parametrize("z", [29.0, 33.0, 37.0])
def test_a_stray_contour_does_not_shrink_thick_planes(tmp_path, pet, edge, place, z):
    """Planes every 8 mm on slices of 4 mm, and four points somewhere between."""
    thick = [disc(z) for z in (28.0, 36.0, 44.0, 52.0)]
    plain, _ = read(tmp_path, pet, x=thick)
    counts, warnings = read(tmp_path, pet, x=[*thick, box(z, *place, edge)])
    assert counts == plain == everywhere(6, 14)
    assert "1 specks" in warnings[0]


@pytest.mark.parametrize("z", [36.0, 30.0, 70.0])
def test_a_far_speck_is_left_and_told(tmp_path, pet, z):
    contours = [disc(z) for z in (28.0, 32.0, 36.0, 40.0)]
    counts, warnings = read(tmp_path, pet, x=[*contours, box(z, 71.0, 71.0, 2.0)])
    assert counts == everywhere(7, 10)
    assert "1 specks" in warnings[0]


def test_small_findings_and_caps_are_no_specks(tmp_path, pet):
    """A sphere's last planes, and a small lesion beside a large one on the same planes."""
    places = np.arange(28.0, 60.01, 4.0)
    sphere = [disc(z, max(1.5, np.sqrt(max(0.0, 16.0**2 - (z - 44.0) ** 2)))) for z in places]
    counts, warnings = read(tmp_path, pet, x=sphere)
    assert warnings == []
    assert [count > 0 for count in counts[7:16]] == [True] * 9
    small = [box(z, 59.0, 59.0, 8.0) for z in (36.0, 40.0)]
    plain, _ = read(tmp_path, pet, x=small)
    counts, warnings = read(tmp_path, pet, x=[*(disc(z) for z in (32.0, 36.0, 40.0, 44.0)), *small])
    assert counts == [one + other for one, other in zip(everywhere(8, 11), plain, strict=True)]
    assert sum(plain) == 8
    assert warnings == []


@pytest.mark.parametrize("x", [20.0, 45.0])
def test_contours_that_overlap_stay_even_odd_and_are_told(tmp_path, pet, x):
    counts, warnings = read(tmp_path, pet, x=[disc(40.0), disc(40.0, x=x)])
    one, other = (load_alone(tmp_path, pet, contour) for contour in (disc(40.0), disc(40.0, x=x)))
    assert counts[10] == (one ^ other).sum()
    assert len(warnings) == 1
    assert "overlap in part in 1 planes" in warnings[0]


def load_alone(path, pet, contour):
    write_rtstruct(path / "rs.dcm", {"x": [contour]})
    return load_mask(path / "rs.dcm", pet)


def test_neighbours_that_touch_are_not_told(tmp_path, pet):
    left, right = box(40.0, -40.0, -20.0, 40.0), box(40.0, 0.0, -20.0, 40.0)
    counts, warnings = read(tmp_path, pet, x=[left, right])
    assert counts[10] == 200
    assert warnings == []


def test_nested_holes_and_a_keyhole(tmp_path, pet):
    nested = [disc(40.0, radius) for radius in (40.0, 30.0, 20.0, 10.0)]
    counts, warnings = read(tmp_path, pet, x=nested)
    sizes = [int(load_alone(tmp_path, pet, contour).sum()) for contour in nested]
    assert counts[10] == sizes[0] - sizes[1] + sizes[2] - sizes[3]
    assert warnings == []
    outer, inner = disc(40.0, 40.0), disc(40.0, 20.0)
    keyhole = np.vstack([outer, outer[:1], inner, inner[:1]])
    counts, warnings = read(tmp_path, pet, x=[keyhole])
    assert counts[10] == sizes[0] - sizes[2]
    assert warnings == []


@pytest.mark.parametrize(
    ("places", "first", "last"),
    [((28, 32, 36, 42, 46), 7, 12), ((28, 36, 44), 6, 12), ((28, 31, 34, 37, 40), 7, 10), ((28, 32, 60, 64), 7, 16)],
)
def test_uneven_gaps_and_thick_planes_stay(tmp_path, pet, places, first, last):
    counts, _ = read(tmp_path, pet, x=[disc(float(z)) for z in places])
    expected = everywhere(first, last)
    if 60 in places:
        expected[9:15] = [0] * 6
    assert counts == expected


def test_findings_on_planes_of_their_own_within_one_slice(tmp_path, pet):
    left = [disc(z, 12.0, x=-40.0) for z in np.arange(38.1, 39.9, 0.4)]
    right = [disc(z, 12.0, x=40.0) for z in np.arange(40.1, 41.9, 0.4)]
    one, other = (read(tmp_path, pet, x=contours)[0][10] for contours in (left, right))
    assert read(tmp_path, pet, x=[*left, *right])[0][10] == one + other > 40


# --- What cannot be used


@pytest.mark.parametrize(
    "contours",
    [
        [box(40.0, 1.0, 1.0, 2.0)],
        [box(40.0, 1.0, 1.0, 0.01)],
        [np.array([[0, 0, 40.0], [10, 10, 40.0], [20, 20, 40.0]])],
        [disc(z) for z in (1000.0, 1004.0)],
    ],
    ids=["between voxels", "a dot", "a line", "above the PET"],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_region_that_is_drawn_and_holds_no_voxel_is_an_error(tmp_path, pet, contours, beside):
    regions = {"tumour": contours} | ({"other": [disc(40.0)]} if beside else {})
    write_rtstruct(tmp_path / "rs.dcm", regions)
    with pytest.raises(InputError, match=r"region 'tumour' (is drawn, but holds no voxel|does not overlap the PET)"):
        load_mask(tmp_path / "rs.dcm", pet)
    if beside:
        assert load_mask(tmp_path / "rs.dcm", pet, roi="other").sum() == FULL


def test_a_region_of_points_beside_a_drawn_one_is_told(tmp_path, pet):
    write_rtstruct(tmp_path / "rs.dcm", {"point": [np.array([[0, 0, 40.0]])], "x": [disc(40.0)]})
    dataset = pydicom.dcmread(tmp_path / "rs.dcm")
    dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    dataset.save_as(tmp_path / "rs.dcm")
    mask, record = read_mask(tmp_path / "rs.dcm", pet)
    assert mask.sum() == FULL
    assert record["warnings"] == ["region 'point' has no closed contour and was left"]


@pytest.mark.parametrize("text", ["1\\2\\x", "1\\2", "nan\\0\\0\\1\\1\\0\\2\\2\\0"])
def test_contour_data_that_are_no_points(tmp_path, pet, text):
    write_rtstruct(tmp_path / "rs.dcm", {"x": [disc(40.0)]})
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(tmp_path / "rs.dcm")
        tag, stored = pydicom.tag.Tag(0x30060050), text.encode() + b" " * (len(text) % 2)
        raw = pydicom.dataelem.RawDataElement(tag, "DS", len(stored), stored, 0, False, True)
        dataset.ROIContourSequence[0].ContourSequence[0][tag] = raw
        try:
            dataset.save_as(tmp_path / "rs.dcm")
        except ValueError:
            pytest.skip("pydicom does not write it")
    with pytest.raises(InputError, match=r"rs\.dcm: .*(no list of points|damaged or incomplete)"):
        load_mask(tmp_path / "rs.dcm", pet)
