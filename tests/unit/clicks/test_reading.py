"""Click files of voxel indices: formats in, and what is refused."""

import json

import pytest
from click_files import TWO, challenge, read, written

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.reading import MAX_FILE_BYTES, MAX_POINTS, read_clicks
from clickpet.errors import InputError


class TestReadVoxels:
    def test_challenge_keeps_order_and_duplicates(self, tmp_path):
        path = written(
            tmp_path,
            challenge(
                ([1, 2, 3], "tumor"), ([0, 0, 0], "background"), ([39, 29, 49], "tumor"), ([1.0, 2.0, 3.0], "tumor")
            ),
        )
        assert read(path) == TWO

    def test_points_of_one_scribble(self, tmp_path):
        document = challenge(
            ([1, 2, 3], "tumor"), ([0, 0, 0], "background"), ([1, 3, 3], "tumor"), ([9, 9, 9], "tumor")
        )
        for point, scribble in zip(document["points"], (4, 2, 4, None), strict=True):
            point["scribble"] = scribble
        assert read(written(tmp_path, document)).interactions() == [
            Interaction("tumor", [[1, 2, 3], [1, 3, 3]]),
            Interaction("background", [[0, 0, 0]]),
            Interaction("tumor", [[9, 9, 9]]),
        ]
        document["points"][0]["scribble"] = "first"
        with pytest.raises(InputError, match=r"point 1: has the scribble 'first'; number the scribbles 1, 2"):
            read(written(tmp_path, document))

    def test_rounds_in_one_file(self, tmp_path):
        """Each round holds all points so far (or its own alone); what it adds is its scribble."""
        first = {"tumor": [[1, 1, 1], [1, 2, 1]], "background": []}
        second = {"tumor": [[1, 1, 1], [1, 2, 1]], "background": [[5, 5, 5], [5, 6, 5]]}
        third = challenge(([7, 7, 7], "tumor"), ([7, 8, 7], "tumor"))
        nothing = {"tumor": [], "background": []}
        assert read(written(tmp_path, {"rounds": [nothing, first, second, third]})).interactions() == [
            Interaction("tumor", first["tumor"]),
            Interaction("background", second["background"]),
            Interaction("tumor", [[7, 7, 7], [7, 8, 7]]),
        ]
        with pytest.raises(InputError, match='"rounds" is not a list of objects'):
            read(written(tmp_path, {"rounds": {"0": first}}))
        with pytest.raises(InputError, match=r"round 1: tumor point 1: \[99, 1, 1\] is outside"):
            read(written(tmp_path, {"rounds": [first, {"tumor": [[99, 1, 1]]}]}))

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


class TestLimits:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ('{"tumor": [[' + "9" * 5000 + ", 5, 5]]}", "holds a number of thousands of digits"),
            ('{"tumor": [[' + "9" * 4000 + ", 5, 5]]}", "give three finite numbers"),
            ('{"tumor": [[1e999, 5, 5]]}', "give three finite numbers"),
            ('{"tumor": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
            ('{"tumor": [' + "[1, 2, 3]," * 2000 + "[1, 2, 3]]}", "holds more than 2000 points"),
            ('{"tumor": [["' + "x" * 100_000 + '", 2, 3]]}', "give three numbers"),
            ('{"' + "x" * 100_000 + '": []}', "its keys are"),
            ('{"points": [{"point": [1, 2, 3], "name": "' + "tumor" * 30_000 + '"}]}', "point 1: has the name"),
            ('{"type": "' + "x" * 100_000 + '"}', "is of type"),
            (" " * (MAX_FILE_BYTES + 1), "more than clicks can"),
            ('{"tumor": [[1, 2, 3]], "tumor": [[4, 5, 6]]}', "the key 'tumor' is there twice in one object"),
            ('{"points": [{"point": [1, 2, 3], "point": [4, 5, 6], "name": "tumor"}]}', "key 'point' is there"),
            ('{"type": "Multiple points", "points": [], "points": []}', "the key 'points' is there twice"),
            ('{"tumor": [[1, 2, 3], [4, 5, 6]], "background": [[4.0, 5, 6]]}', "has the voxel [4, 5, 6] both as tumor"),
        ],
    )  # fmt: skip
    def test_refused_in_a_short_line(self, tmp_path, text, what):
        path = written(tmp_path, text)
        with pytest.raises(InputError) as caught:
            read(path)
        assert what in str(caught.value)
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value)) < 1000

    def test_as_many_points_as_scribbles_have(self, tmp_path):
        points = [[x, y, z] for x in range(40) for y in range(25) for z in range(2)]
        clicks = read(written(tmp_path, {"tumor": points}))
        assert clicks.tumor.tolist() == points
        assert len(points) == MAX_POINTS

    def test_a_path_that_is_too_long(self, tmp_path):
        with pytest.raises(InputError, match="File name too long"):
            read(tmp_path / ("x" * 300))

    def test_a_file_below_a_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            read(written(tmp_path, {}) / "clicks.json")


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
