"""The lesion table against measuring every component by itself."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jobs import run_script
from scipy import ndimage

from clickpet import components as components_module
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import (
    COLUMNS,
    PEAK_RADIUS_MM,
    largest_distance,
    measure_lesions,
    measure_study,
    number_lesions,
    over_mask,
    sphere_offsets,
)
from clickpet.evaluate.tables import read_table
from clickpet.images import write_image

EDGES = ndimage.generate_binary_structure(3, 2)
OBLIQUE = np.array([[-2.0, 0.4, 0, 90], [0.3, 2.5, 0.2, -80], [0, -0.3, 4.0, 5], [0, 0, 0, 1]])
AFFINES = {
    "identity": np.eye(4), "autopet": np.diag([-2.036, 2.036, 3.0, 1.0]), "thick": np.diag([4.07, 4.07, 5.0, 1.0]),
    "coarse": np.diag([9.0, 9.0, 9.0, 1.0]), "oblique": OBLIQUE,
}  # fmt: skip


def plain(mask, suv, affine):
    """Rows from the definitions, each voxel's sphere by the distance to every voxel of the volume."""
    labels, count = ndimage.label(mask != 0, EDGES)
    everywhere = np.indices(mask.shape).reshape(3, -1).T
    everywhere_mm = everywhere @ affine[:3, :3].T + affine[:3, 3]
    rows = []
    for number in range(1, count + 1):
        component = labels == number
        voxels = np.argwhere(component)
        values = suv[component].astype(float)
        volume_ml = len(voxels) * np.linalg.norm(affine[:3, :3], axis=0).prod() / 1000
        peaks = []
        for voxel in voxels:
            distance = np.linalg.norm(everywhere_mm - (affine[:3, :3] @ voxel + affine[:3, 3]), axis=1)
            peaks.append(suv[tuple(everywhere[distance <= PEAK_RADIUS_MM].T)].astype(float).mean())
        centre = voxels.mean(axis=0)
        row = [*centre, *(affine[:3, :3] @ centre + affine[:3, 3]), len(voxels), volume_ml]
        rows.append([*row, values.max(), values.mean(), max(peaks), values.mean() * volume_ml])
    rows.sort(key=lambda row: -row[6])  # stable: equal volumes stay in the order of their first voxels
    return pd.DataFrame([[place, *row] for place, row in enumerate(rows, 1)], columns=list(COLUMNS))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7),
    affine=st.sampled_from(sorted(AFFINES)),
    mask_type=st.sampled_from([bool, np.uint8, np.int16]),
    suv_type=st.sampled_from([np.float32, np.float64, np.int16]),
    order=st.sampled_from("CF"),
)
def test_equals_measuring_each_component(data, shape, affine, mask_type, suv_type, order):
    mask = data.draw(hnp.arrays(bool, shape)).astype(mask_type)
    suv = data.draw(hnp.arrays(np.int16, shape, elements=st.integers(-3, 400))).astype(suv_type, order=order)
    table = measure_lesions(mask, suv, AFFINES[affine])
    assert list(table.columns) == list(COLUMNS)
    expected = plain(mask, suv, AFFINES[affine])
    np.testing.assert_allclose(table.to_numpy(float), expected.to_numpy(float).reshape(-1, 13), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("affine", sorted(AFFINES))
@pytest.mark.parametrize("order", ["C", "F", "swapped", "reversed", "strided"])
def test_spheres_inside_and_at_the_border_in_any_memory_order(order, affine):
    rng = np.random.default_rng(2)
    mask, suv = rng.random((17, 18, 19)) < 0.01, rng.random((17, 18, 19)).astype(np.float32)
    arranged = {
        "C": suv,
        "F": np.asfortranarray(suv),
        "swapped": np.ascontiguousarray(suv.transpose(1, 0, 2)).transpose(1, 0, 2),
        "reversed": np.ascontiguousarray(suv[:, ::-1])[:, ::-1],
        "strided": np.repeat(suv, 2, axis=1)[:, ::2],
    }[order]
    table, expected = measure_lesions(mask, arranged, AFFINES[affine]), plain(mask, suv, AFFINES[affine])
    np.testing.assert_allclose(table.to_numpy(), expected.to_numpy(), rtol=1e-9)


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(8)
    mask, suv = rng.random((9, 8, 7)) < 0.3, rng.random((9, 8, 7))
    expected = measure_lesions(mask, suv, AFFINES["autopet"], truth=mask, disagreement=suv)
    monkeypatch.setattr(components_module, "CHUNK_VOXELS", 5)
    monkeypatch.setattr("clickpet.evaluate.lesion_table.CHUNK_VOXELS", 16)
    pd.testing.assert_frame_equal(
        measure_lesions(mask, suv, AFFINES["autopet"], truth=mask, disagreement=suv), expected, check_exact=True
    )


def lesion_of_two():
    """A hot voxel with a warm neighbour in x, all else at 1, on a grid of 2 mm."""
    mask, suv = np.zeros((15, 15, 15), np.uint8), np.ones((15, 15, 15), np.float32)
    mask[7:9, 7, 7] = 1
    suv[7, 7, 7], suv[8, 7, 7] = 20, 10
    return mask, suv, np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 2, 100], [0, 0, 0, 1]])


def test_a_lesion_measured_by_hand():
    mask, suv, affine = lesion_of_two()
    row = measure_lesions(mask, suv, affine).iloc[0]
    assert (row["x_vox"], row["y_vox"], row["z_vox"]) == (7.5, 7, 7)
    assert (row["x_mm"], row["y_mm"], row["z_mm"]) == (15, -6, 114)
    assert (row["lesion"], row["voxels"], row["suv_max"], row["suv_mean"]) == (1, 2, 20, 15)
    assert row["volume_ml"] == pytest.approx(0.016)
    assert row["tlg"] == pytest.approx(0.24)
    inside = len(sphere_offsets(affine))
    assert row["suv_peak"] == pytest.approx((inside - 2 + 30) / inside)


def test_the_sphere_holds_one_millilitre():
    assert 4 / 3 * np.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000)
    for edge in (0.5, 1.0):
        assert len(sphere_offsets(np.diag([edge, edge, edge, 1]))) * edge**3 == pytest.approx(1000, rel=0.03)
    assert sphere_offsets(np.diag([9.0, 7.0, 20.0, 1.0])).tolist() == [[0, 0, 0]]
    assert len(sphere_offsets(np.diag([6.0, 20.0, 20.0, 1.0]))) == 3


def test_peak_takes_the_part_of_the_sphere_inside_the_volume():
    mask, suv = np.zeros((5, 5, 5), bool), np.full((5, 5, 5), 3.0)
    mask[0, 0, 0] = True
    assert measure_lesions(mask, suv, np.eye(4))["suv_peak"].tolist() == [3.0]


def test_large_first_and_ties_by_first_voxel():
    mask = np.zeros((12, 12, 12), bool)
    mask[9, 0, 0] = mask[2, 8, 8] = mask[2, 8, 3] = True
    mask[5:7, 5:7, 5:7] = True
    for order in "CF":
        table = measure_lesions(mask.astype(bool, order=order), np.ones(mask.shape, order=order), np.eye(4))
        assert table["voxels"].tolist() == [8, 1, 1, 1]
        assert table["lesion"].tolist() == [1, 2, 3, 4]
        assert table[["x_vox", "y_vox", "z_vox"]].iloc[1:].to_numpy().tolist() == [[2, 8, 3], [2, 8, 8], [9, 0, 0]]


def test_against_truth_and_prediction():
    mask, suv, affine = lesion_of_two()
    mask[1, 1, 1] = 1
    truth = np.zeros(mask.shape, bool)
    truth[8:11, 7, 7] = True
    table = measure_lesions(mask, suv, affine, truth=truth)
    assert table["status"].tolist() == ["true positive", "false positive"]
    assert table["truth_overlap_ml"].tolist() == pytest.approx([0.008, 0])
    table = measure_lesions(mask, suv, affine, predicted=truth)
    assert table["found"].tolist() == [1, 0]
    assert table["predicted_overlap_ml"].tolist() == pytest.approx([0.008, 0])


def test_mean_disagreement():
    mask, suv, affine = lesion_of_two()
    spread = np.zeros(mask.shape, np.float16)
    spread[8, 7, 7] = 0.5
    assert measure_lesions(mask, suv, affine, disagreement=spread)["disagreement"].tolist() == [0.25]


def test_values_of_a_mask_are_put_back():
    mask, spread = np.zeros((2, 2, 2), np.uint8), np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    mask[0, 1, 1] = mask[1, 0, 0] = 1
    np.testing.assert_array_equal(over_mask(np.asfortranarray(mask), spread[mask != 0]), spread * mask)
    np.testing.assert_array_equal(np.isnan(over_mask(mask, np.empty(0))), mask != 0)
    assert not over_mask(0 * mask, np.empty(0)).any()
    with pytest.raises(InputError, match="3 values do not fit a mask of 2 voxels"):
        over_mask(mask, np.ones(3))


def test_no_lesions_keep_columns_and_types():
    mask, suv, affine = lesion_of_two()
    options = {"truth": mask, "predicted": mask, "disagreement": suv}
    some, none = (measure_lesions(m, suv, affine, **options) for m in (mask, np.zeros_like(mask)))
    assert len(none) == 0
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert {name: str(kind) for name, kind in none.dtypes.items()}.items() >= COLUMNS.items()
    study = measure_study(none)
    assert (study["lesions"], study["tmtv_ml"], study["tlg"]) == (0, 0, 0)
    assert np.isnan([study["suv_max"], study["suv_peak"], study["suv_mean"], study["largest_ml"]]).all()


def test_a_full_mask_is_one_lesion():
    suv = np.random.default_rng(0).random((4, 5, 6))
    table = measure_lesions(np.ones((4, 5, 6)), suv, np.eye(4))
    assert table["voxels"].tolist() == [120]
    assert table["suv_mean"][0] == pytest.approx(suv.mean())


def test_totals_of_a_study():
    rng = np.random.default_rng(4)
    mask, suv = rng.random((12, 12, 12)) < 0.1, rng.random((12, 12, 12)) * 9
    table = measure_lesions(mask, suv, AFFINES["oblique"])
    study, volume_ml = measure_study(table), np.linalg.norm(OBLIQUE[:3, :3], axis=0).prod() / 1000
    assert study["lesions"] == ndimage.label(mask, EDGES)[1]
    assert study["tmtv_ml"] == pytest.approx(mask.sum() * volume_ml)
    assert study["tlg"] == pytest.approx(suv[mask].sum() * volume_ml)
    assert study["suv_max"] == suv[mask].max()
    assert study["suv_mean"] == pytest.approx(suv[mask].mean())
    assert study["suv_peak"] == table["suv_peak"].max()
    assert study["largest_ml"] == table["volume_ml"][0]


def test_shapes_must_agree():
    mask, suv, affine = lesion_of_two()
    for options in ({"truth": mask[1:]}, {"predicted": mask[1:]}, {"disagreement": suv[1:]}):
        with pytest.raises(InputError, match="differ in shape"):
            measure_lesions(mask, suv, affine, **options)
    with pytest.raises(InputError, match="SUV"):
        measure_lesions(mask, suv[1:], affine)


def test_a_real_tumour_is_one_lesion_of_its_size(shared_data):
    from clickpet.images import read_image

    folder = shared_data / "sts_nifti" / "STS_001"
    mask, suv = (read_image(next(folder.glob(f"{name}*"))) for name in ("PET_mask", "PET_image"))
    table = measure_lesions(mask.array, suv.array, suv.affine)
    study, inside = measure_study(table), suv.array[mask.array > 0]
    assert study["suv_max"] == pytest.approx(inside.max())
    assert study["tmtv_ml"] == pytest.approx(inside.size * np.prod(mask.spacing_mm) / 1000)
    assert study["suv_mean"] < study["suv_peak"] < study["suv_max"]


def test_the_script_writes_table_and_totals(tmp_path):
    mask, suv, affine = lesion_of_two()
    raw = mask.copy()
    raw[0, 0, 0] = 1  # erased by the post-processing
    for name, array in (("mask", mask), ("suv", suv), ("truth", mask), ("raw", raw)):
        write_image(tmp_path / f"{name}.nii.gz", array, affine)
    np.save(tmp_path / "disagreement.npy", np.float32([0.5, 0.1, 0.2]))
    files = {name: tmp_path / f"{name}.nii.gz" for name in ("mask", "suv", "raw")}
    files["disagreement"] = tmp_path / "disagreement.npy"
    output = {"lesions": tmp_path / "lesion_table.csv", "study": tmp_path / "study.json"}
    options = {"log": tmp_path / "log", "params": {"row": {"case": "A  b", "slug": "A_b"}}}
    run_script("measure_lesions", input=files, output=output, **options)
    table = read_table(output["lesions"])
    assert list(table.columns) == [*COLUMNS, "disagreement"]
    assert table["disagreement"].tolist() == pytest.approx([0.15])
    assert table["tlg"].tolist() == pytest.approx([0.24])
    study = json.loads(output["study"].read_text())
    assert (study["case"], study["slug"], study["lesions"], study["suv_max"]) == ("A  b", "A_b", 1, 20)
    run_script("measure_lesions", input={**files, "truth": tmp_path / "truth.nii.gz"}, output=output, **options)
    assert read_table(output["lesions"])["status"].tolist() == ["true positive"]
    np.save(tmp_path / "disagreement.npy", np.empty(0, np.float32))  # one model predicted
    run_script("measure_lesions", input=files, output=output, **options)
    assert read_table(output["lesions"])["disagreement"].isna().tolist() == [True]


@pytest.mark.parametrize("order", ["C", "F"])
def test_lesions_are_numbered_as_in_the_table(order):
    rng = np.random.default_rng(3)
    mask = ndimage.gaussian_filter(rng.normal(size=(20, 17, 23)), 1.2) > 0.25
    numbers = number_lesions(np.asarray(mask, order=order))
    assert numbers.dtype == np.uint16
    np.testing.assert_array_equal(numbers > 0, mask)
    suv = np.asarray(rng.random(mask.shape), np.float32, order="F")
    table = measure_lesions(mask, suv, np.diag([2.0, 2, 3, 1]))
    assert len(table) == numbers.max() > 5
    for row in table.to_dict("records"):
        own = numbers == row["lesion"]
        assert own.sum() == row["voxels"]
        assert suv[own].max() == pytest.approx(row["suv_max"])
        np.testing.assert_allclose(np.argwhere(own).mean(axis=0), [row["x_vox"], row["y_vox"], row["z_vox"]])
    assert number_lesions(np.zeros((3, 4, 5), bool)).max() == 0


def test_more_lesions_than_numbers_are_refused():
    mask = np.zeros((90, 90, 90), bool)
    mask[::2, ::2, ::2] = True
    with pytest.raises(InputError, match="91125 lesions"):
        number_lesions(mask)


def test_the_spread_of_the_disease_is_the_largest_distance_between_centroids():
    mask = np.zeros((40, 30, 20), bool)
    affine = np.array([[-4.0, 0, 0, 10], [0, 4, 0, -7], [0, 0, 5, 3], [0, 0, 0, 1]])
    suv = np.ones(mask.shape, np.float32)
    assert np.isnan(measure_study(measure_lesions(mask, suv, affine))["dmax_mm"])
    mask[1:4, 1:4, 1:4] = True
    assert np.isnan(measure_study(measure_lesions(mask, suv, affine))["dmax_mm"])
    mask[32, 2, 2] = mask[2, 22, 2] = mask[20, 2, 12] = True
    expected = np.linalg.norm(np.array([30 * 4, 20 * 4, 0]))
    assert measure_study(measure_lesions(mask, suv, affine))["dmax_mm"] == pytest.approx(expected)
    points = np.random.default_rng(0).normal(size=(50, 3))
    assert largest_distance(points) == pytest.approx(max(np.linalg.norm(a - b) for a in points for b in points))
