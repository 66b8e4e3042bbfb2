"""Clicks: formats in and out, what is refused, and the simulation against a slow oracle."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickpet.clicks import clicks as module
from clickpet.clicks.clicks import Clicks, read_clicks, simulate_clicks, write_clicks, write_markups
from clickpet.errors import InputError

SHAPE = (40, 30, 50)
AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2.0, 0, -35.5], [0, 0, 3.0, -900], [0, 0, 0, 1]])
TWO = Clicks([[1, 2, 3], [39, 29, 49], [1, 2, 3]], [[0, 0, 0]])


def written(folder, document, name="clicks.json"):
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def read(path, **options):
    return read_clicks(path, shape=SHAPE, affine=AFFINE, **options)


def challenge(*points, **more):
    listed = [{"point": point, "name": name} for point, name in points]
    return {"version": {"major": 1, "minor": 0}, "type": "Multiple points", "points": listed, **more}


def markups(*points, **more):
    listed = [{"label": label, "position": position} for label, position in points]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": listed, **more}]}


class TestClicks:
    def test_dtype_and_shape(self):
        clicks = Clicks([[1, 2, 3]], [])
        assert clicks.tumor.dtype == np.int64
        assert clicks.tumor.shape == (1, 3)
        assert clicks.background.shape == (0, 3)

    def test_first_takes_of_both_kinds(self):
        assert TWO.first(2) == Clicks([[1, 2, 3], [39, 29, 49]], [[0, 0, 0]])
        assert TWO.first(0) == Clicks.empty()
        assert TWO.first(99) == TWO

    def test_first_refuses_negative(self):
        with pytest.raises(ValueError, match="-1"):
            TWO.first(-1)

    def test_equality_is_by_value_and_order(self):
        assert Clicks([[1, 2, 3], [4, 5, 6]], []) != Clicks([[4, 5, 6], [1, 2, 3]], [])
        assert TWO != "clicks"


class TestReadVoxels:
    def test_challenge_keeps_order_and_duplicates(self, tmp_path):
        path = written(
            tmp_path,
            challenge(
                ([1, 2, 3], "tumor"), ([0, 0, 0], "background"), ([39, 29, 49], "tumor"), ([1.0, 2.0, 3.0], "tumor")
            ),
        )
        assert read(path) == TWO

    def test_single_point(self, tmp_path):
        path = written(tmp_path, {"type": "Point", "point": [4, 5, 6], "name": "background", "version": {"major": 1}})
        assert read(path) == Clicks([], [[4, 5, 6]])

    def test_plain_variant(self, tmp_path):
        assert read(written(tmp_path, {"tumor": TWO.tumor.tolist(), "background": [[0, 0, 0]]})) == TWO
        assert read(written(tmp_path, {"background": [[7, 8, 9]]})) == Clicks([], [[7, 8, 9]])

    @pytest.mark.parametrize("name", ["Tumor", " tumour ", "TUMOR", "tumor-1", "Tumor 12"])
    def test_names_are_read_generously(self, tmp_path, name):
        assert read(written(tmp_path, challenge(([1, 1, 1], name)))) == Clicks([[1, 1, 1]], [])

    @pytest.mark.parametrize("document", ["", " \n", challenge(), {"tumor": [], "background": []}, {}])
    def test_no_clicks(self, tmp_path, document):
        assert read(written(tmp_path, document)) == Clicks.empty()

    def test_byte_order_mark(self, tmp_path):
        path = tmp_path / "clicks.json"
        path.write_text(json.dumps(challenge(([1, 1, 1], "tumor"))), encoding="utf-8-sig")
        assert read(path) == Clicks([[1, 1, 1]], [])

    def test_missing_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "none.json")
        assert read(tmp_path / "none.json", missing_ok=True) == Clicks.empty()

    @pytest.mark.parametrize(
        ("document", "what"),
        [
            ("{", "is not valid JSON"),
            ([], "holds a JSON list, not an object"),
            ("3", "holds a JSON number"),
            ("null", "null"),
            (challenge(type="Multiple lines"), "'Multiple lines'"),
            ({"type": "Multiple points"}, '"points" is not a list'),
            ({"type": "Multiple points", "points": {}}, '"points" is not a list'),
            ({"points": [[1, 2, 3]]}, "point 1: is a JSON list"),
            (challenge(([1, 2, 3], "lesion")), "point 1: has the name 'lesion'"),
            ({"points": [{"point": [1, 2, 3]}]}, "point 1: has the name None"),
            (challenge(([1, 2, 3], "tumor"), ([12.5, 3, 4], "background")), "point 2 (background): [12.5, 3, 4]"),
            (challenge(([1, 2], "tumor")), "point 1 (tumor): has the coordinates [1, 2]"),
            (challenge((["1", 2, 3], "tumor")), "give three numbers"),
            (challenge(([True, 2, 3], "tumor")), "give three numbers"),
            (challenge((None, "tumor")), "give three numbers"),
            (challenge(([float("nan"), 2, 3], "tumor")), "give three finite numbers"),
            (challenge(([float("inf"), 2, 3], "tumor")), "give three finite numbers"),
            (challenge(([10**400, 2, 3], "tumor")), "give three finite numbers"),
            (challenge(([-1, 2, 3], "tumor")), "outside the grid 40x30x50"),
            (challenge(([40, 2, 3], "tumor")), "outside the grid 40x30x50"),
            ({"tumour_points": []}, "has the key 'tumour_points'"),
            ({"tumor": [[1, 2, 3], [1, 99, 3]]}, "tumor point 2: [1, 99, 3] is outside"),
            ({"tumor": {}}, "'tumor' is not a list"),
        ],
    )
    def test_refused(self, tmp_path, document, what):
        path = written(tmp_path, document)
        with pytest.raises(InputError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert what in message
        assert "\n" not in message
        assert "; " in message  # the mend

    def test_turned_round_coordinates_get_a_hint(self, tmp_path):
        with pytest.raises(InputError, match=r"is it z, y, x\?"):
            read(written(tmp_path, challenge(([49, 29, 39], "tumor"))))
        with pytest.raises(InputError) as caught:
            read(written(tmp_path, challenge(([49, 29, 60], "tumor"))))
        assert "z, y, x" not in str(caught.value)

    def test_binary_file(self, tmp_path):
        path = tmp_path / "clicks.json"
        path.write_bytes(b"\xff\xfe\x80\x81")
        with pytest.raises(InputError, match="not a text file"):
            read(path)


class TestReadSlicer:
    def test_lps_and_ras(self, tmp_path):
        ras_mm = (AFFINE @ [10, 20, 30, 1])[:3]
        lps_mm = ras_mm * [-1, -1, 1]
        expected = Clicks([[10, 20, 30]], [])
        assert read(written(tmp_path, markups(("tumor-1", lps_mm.tolist())))) == expected
        assert read(written(tmp_path, markups(("tumor-1", ras_mm.tolist()), coordinateSystem="RAS"))) == expected

    def test_lps_is_the_default(self, tmp_path):
        document = markups(("background", [-60.0, 35.5, -900.0]))
        del document["markups"][0]["coordinateSystem"]
        assert read(written(tmp_path, document)) == Clicks([], [[0, 0, 0]])

    @pytest.mark.parametrize(("shift_vox", "expected"), [(0.49, 10), (-0.49, 10), (0.51, 11), (-0.51, 9)])
    def test_nearest_voxel(self, tmp_path, shift_vox, expected):
        position = ((AFFINE @ [10 + shift_vox, 20, 30, 1])[:3] * [-1, -1, 1]).tolist()
        assert read(written(tmp_path, markups(("tumor", position)))).tumor.tolist() == [[expected, 20, 30]]

    def test_oblique_grid(self, tmp_path):
        angle = 0.3
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag([2, 2, 3])
        affine[:3, 3] = [10, -20, 30]
        write_markups(tmp_path / "oblique.mrk.json", TWO, affine)
        assert read_clicks(tmp_path / "oblique.mrk.json", shape=SHAPE, affine=affine) == TWO

    def test_label_then_list_name_then_file_name(self, tmp_path):
        origin = [-60.0, 35.5, -900.0]
        points = markups(("F-1", origin), ("background-7", origin), name="tumor")
        assert read(written(tmp_path, points)) == Clicks([[0, 0, 0]], [[0, 0, 0]])
        assert read(written(tmp_path, markups(("F-1", origin)), "background.mrk.json")) == Clicks([], [[0, 0, 0]])
        with pytest.raises(InputError, match=r"point 1: has the label 'F-1'; label the points"):
            read(written(tmp_path, markups(("F-1", origin))))

    def test_folder_of_lists(self, tmp_path):
        origin = [-60.0, 35.5, -900.0]
        written(tmp_path, markups(("F-1", origin)), "tumor.mrk.json")
        written(tmp_path, markups(("F-1", origin), ("F-2", origin)), "background.mrk.json")
        assert read(tmp_path) == Clicks([[0, 0, 0]], [[0, 0, 0]] * 2)

    def test_folder_without_lists(self, tmp_path):
        with pytest.raises(InputError, match=r"no \.mrk\.json file in this folder"):
            read(tmp_path)

    def test_points_that_were_not_placed_are_left_out(self, tmp_path):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]))
        document["markups"][0]["controlPoints"].append(
            {"label": "tumor-2", "position": None, "positionStatus": "undefined"}
        )
        assert read(written(tmp_path, document)) == Clicks([[0, 0, 0]], [])

    @pytest.mark.parametrize(
        ("document", "what"),
        [
            (markups(("tumor-1", [500.0, 0, 0])), "point 1 (tumor): at [500.0, 0, 0] mm LPS is voxel"),
            (markups(("tumor-1", [float("nan"), 0, 0])), "give three finite numbers"),
            (markups(("tumor-1", None)), "give three numbers"),
            (markups(coordinateSystem="IJK"), "'IJK'"),
            (markups(coordinateUnits="cm"), "'cm'"),
            ({"markups": {}}, "'markups' is not a list"),
            ({"markups": [{"controlPoints": [3]}]}, "'controlPoints' is not a list"),
        ],
    )
    def test_refused(self, tmp_path, document, what):
        with pytest.raises(InputError) as caught:
            read(written(tmp_path, document))
        assert what in str(caught.value)


class TestWrite:
    @given(seed=st.integers(0, 999), tumor=st.integers(0, 12), background=st.integers(0, 12))
    @settings(max_examples=20, deadline=None)
    def test_round_trip(self, tmp_path_factory, seed, tumor, background):
        folder = tmp_path_factory.mktemp("clicks")
        rng = np.random.default_rng(seed)
        clicks = Clicks(rng.integers(0, SHAPE, (tumor, 3)), rng.integers(0, SHAPE, (background, 3)))
        write_clicks(folder / "clicks.json", clicks)
        write_markups(folder / "clicks.mrk.json", clicks, AFFINE)
        assert read(folder / "clicks.json") == clicks
        assert read(folder / "clicks.mrk.json") == clicks

    def test_challenge_format(self, tmp_path):
        write_clicks(tmp_path / "clicks.json", TWO)
        assert json.loads((tmp_path / "clicks.json").read_text()) == challenge(
            ([1, 2, 3], "tumor"), ([39, 29, 49], "tumor"), ([1, 2, 3], "tumor"), ([0, 0, 0], "background")
        )

    def test_slicer_format(self, tmp_path):
        write_markups(tmp_path / "clicks.mrk.json", Clicks([[1, 0, 0]], [[0, 0, 2]]), AFFINE)
        (markup,) = json.loads((tmp_path / "clicks.mrk.json").read_text())["markups"]
        assert (markup["type"], markup["coordinateSystem"]) == ("Fiducial", "LPS")
        assert [(point["label"], point["position"]) for point in markup["controlPoints"]] == [
            ("tumor-1", [-58.0, 35.5, -900.0]),
            ("background-1", [-60.0, 35.5, -894.0]),
        ]


# --- the official protocol over whole volumes, step by step ------------------------------------------------


def components_in_order(mask):
    """Masks of the 26-connected components, by their first voxel with x running fastest."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    flat = labels.ravel(order="F")
    return [labels == label for label in sorted(range(1, count + 1), key=lambda label: np.argmax(flat == label))]


def distance_inside(component):
    if component.all():
        return ndimage.distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1, 1:-1]
    return ndimage.distance_transform_edt(component)


def clicks_on(mask, budget, random, offset):
    components = components_in_order(mask)
    if not components:
        return []
    chosen = random.choice(np.arange(1, len(components) + 1), size=min(budget, len(components)), replace=False)
    clicks = []

    def add(voxel):
        if offset:
            other = np.array(voxel) + random.randint(0, offset + 1, size=3)
            if np.all(other < mask.shape) and mask[tuple(other)]:
                voxel = other
        clicks.append([int(index) for index in voxel])

    for label in chosen:
        distance = distance_inside(components[label - 1])
        add(np.unravel_index(np.argmax(distance), mask.shape))
    while len(clicks) < budget:
        for label in chosen:
            component = components[label - 1]
            distance = distance_inside(component)
            border = np.argwhere(component & (distance == distance[component].min()))
            add(border[random.choice(len(border))])
            if len(clicks) == budget:
                break
    return clicks


def simulated_slowly(truth, suv, budget=10, seed=42, offset=0):
    random = np.random.RandomState(seed)
    lesions = truth != 0
    tumor = clicks_on(lesions, budget, random, offset)
    outside = suv[~lesions].astype(float)
    limit = np.percentile(outside, 99.75) if outside.size else np.inf
    return Clicks(tumor, clicks_on((suv.astype(float) > limit) & ~lesions, budget, random, offset))


def laid_out(array, layout):
    """The same values in another memory layout."""
    if layout == "strided":
        wide = np.zeros([2 * length for length in array.shape], array.dtype)
        wide[::2, ::2, ::2] = array
        return wide[::2, ::2, ::2]
    return np.array(array, order=layout)


LAYOUTS = st.sampled_from(["C", "F", "strided"])


class TestSimulate:
    @given(
        shape=st.tuples(*[st.integers(1, 13)] * 3),
        density=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
        dtype=st.sampled_from(["float16", "float32", "float64", "uint8", "int16"]),
        layout=LAYOUTS,
        budget=st.sampled_from([1, 3, 10]),
        offset=st.sampled_from([0, 2]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=120, deadline=None)
    def test_against_whole_volumes(self, shape, density, dtype, layout, budget, offset, seed):
        rng = np.random.default_rng(seed)
        truth = laid_out((rng.random(shape) < density).astype(np.uint8), layout)
        suv = laid_out(rng.gamma(1, 3, shape).astype(dtype), layout)
        found = simulate_clicks(truth, suv, budget=budget, seed=seed, offset_vox=offset)
        assert found == simulated_slowly(truth, suv, budget, seed, offset)

    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
    def test_blobs(self, dtype):
        rng = np.random.default_rng(4)
        suv = ndimage.gaussian_filter(rng.random((31, 45, 27)), 2).astype(np.float32)
        suv *= 9 / suv.max()
        truth = (suv > np.percentile(suv, 98)).astype(dtype)
        found = simulate_clicks(truth, suv)
        assert found == simulated_slowly(truth, suv)
        assert len(found.tumor) == len(found.background) == 10
        assert all(truth[tuple(voxel)] for voxel in found.tumor)
        assert not any(truth[tuple(voxel)] for voxel in found.background)

    def test_no_lesion_gives_background_only(self):
        suv = np.random.default_rng(0).random((20, 20, 20), np.float32)
        found = simulate_clicks(np.zeros(suv.shape, np.uint8), suv)
        assert len(found.tumor) == 0
        assert len(found.background) == 10

    def test_all_lesion_gives_tumor_only(self):
        found = simulate_clicks(np.ones((5, 7, 9), bool), np.ones((5, 7, 9), np.float32), budget=3)
        assert found.tumor[0].tolist() == [2, 2, 2]  # the first voxel of the core
        assert len(found.tumor) == 3
        assert len(found.background) == 0

    def test_flat_uptake_gives_no_background(self):
        found = simulate_clicks(np.zeros((9, 9, 9), bool), np.full((9, 9, 9), 2.5, np.float32))
        assert found == Clicks.empty()

    def test_one_click_per_component_first(self):
        truth = np.zeros((30, 9, 9), np.uint8)
        for number in range(4):
            truth[1 + 7 * number : 6 + 7 * number, 2:7, 2:7] = 1
        found = simulate_clicks(truth, np.zeros(truth.shape, np.float32)).tumor
        assert sorted(found[:4].tolist()) == [[3 + 7 * number, 4, 4] for number in range(4)]
        assert found[4:8, 0].tolist() != found[:4, 0].tolist()
        assert (found[4:8, 0] // 7).tolist() == (found[:4, 0] // 7).tolist()  # cycling in the same order

    def test_more_components_than_budget(self):
        truth = np.zeros((41, 41, 1), np.uint8)
        truth[::2, ::2] = 1
        found = simulate_clicks(truth, np.zeros(truth.shape, np.float32), budget=7).tumor
        assert len({tuple(voxel) for voxel in found.tolist()}) == 7

    def test_seed_decides(self):
        rng = np.random.default_rng(1)
        truth, suv = rng.random((20, 20, 20)) < 0.02, rng.random((20, 20, 20))
        assert simulate_clicks(truth, suv) == simulate_clicks(truth, suv)
        assert simulate_clicks(truth, suv, seed=1) != simulate_clicks(truth, suv, seed=2)

    def test_same_on_every_machine(self):
        x, y, z = np.indices((24, 20, 16))
        truth = ((x - 6) ** 2 + (y - 6) ** 2 + (z - 6) ** 2 < 12) | ((x - 17) ** 2 + (y - 13) ** 2 + (z - 9) ** 2 < 9)
        suv = ((37 * x * x + 11 * y * y + 13 * z * z) % 997).astype(np.float32)
        found = simulate_clicks(truth, suv, budget=4)
        assert found.tumor.tolist() == TUMOR_OF_SEED_42
        assert found.background.tolist() == BACKGROUND_OF_SEED_42

    def test_grids_must_agree(self):
        with pytest.raises(InputError, match="truth is 2x2x2 but SUV is 2x2x3"):
            simulate_clicks(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))

    @given(
        seed=st.integers(0, 99),
        size=st.sampled_from([1, 7, 400, 1001]),
        percentile=st.sampled_from([0.0, 50.0, 90.0, 99.75, 99.9, 100.0]),
        levels=st.sampled_from([1, 2, 5, 100000]),
        dtype=st.sampled_from(["float16", "float32", "float64", "int16"]),
        share=st.sampled_from([0.0, 0.5, 0.95]),
    )
    @settings(max_examples=200, deadline=None)
    def test_uptake_limit_parts_as_the_percentile_does(self, seed, size, percentile, levels, dtype, share):
        rng = np.random.default_rng(seed)
        suv = (rng.integers(0, levels, (size, 1, 3)) / 7).astype(dtype)
        lesions = rng.random(suv.shape) < share
        if lesions.all():
            return
        limit = module._uptake_limit(suv, lesions, percentile)
        expected = suv.astype(float) > np.percentile(suv[~lesions].astype(float), percentile)
        assert np.array_equal((suv > limit)[~lesions], expected[~lesions])

    def test_uptake_limit_of_many_voxels(self):
        rng = np.random.default_rng(0)
        suv = np.asfortranarray(rng.gamma(0.3, 2, (130, 120, 110)).astype(np.float32))
        suv[:, :60] = 0  # air: the sample sees other shares than there are
        lesions = np.asfortranarray(suv > 12)
        limit = module._uptake_limit(suv, lesions)
        expected = suv > np.percentile(suv[~lesions].astype(float), 99.75)
        assert np.array_equal((suv > limit)[~lesions], expected[~lesions])


class TestRealStudies:
    def test_all_click_files_fit_their_grids(self, shared_data):
        import nibabel as nib

        counts = []
        for path in sorted((shared_data / "autopet" / "organs").glob("*.nii.gz")):
            file = nib.load(path)
            name = path.name.removesuffix(".nii.gz")
            clicks = read_clicks(
                shared_data / "autopet" / "clicks" / f"{name}_clicks.json", shape=file.shape, affine=file.affine
            )
            counts.append((len(clicks.tumor), len(clicks.background)))
        assert sorted(set(counts)) == [(0, 10), (10, 10)]
        assert len(counts) == 24

    def test_simulation_on_a_real_grid(self, shared_data):
        import nibabel as nib

        path = min((shared_data / "autopet" / "organs").glob("psma*.nii.gz"), key=lambda path: path.stat().st_size)
        organs = np.asarray(nib.load(path).dataobj)[::2, ::2, ::2]
        truth = np.isin(organs, (4, 10))  # bladder and head glands in place of lesions
        suv = organs.astype(np.float32) + np.random.default_rng(0).random(organs.shape, np.float32)
        assert simulate_clicks(truth, suv, budget=4) == simulated_slowly(truth, suv, budget=4)


TUMOR_OF_SEED_42 = [[17, 13, 9], [6, 6, 6], [18, 15, 9], [4, 6, 4]]
BACKGROUND_OF_SEED_42 = [[12, 3, 14], [11, 18, 15], [19, 12, 1], [22, 6, 7]]
