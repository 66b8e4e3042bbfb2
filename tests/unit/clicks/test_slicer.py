"""3D Slicer Markups: which voxels their points are, and what is refused."""

import numpy as np
import pytest
from click_files import AFFINE, SHAPE, TWO, markups, read, written

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.reading import read_clicks
from clickpet.clicks.writing import write_markups
from clickpet.errors import InputError


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
        origin, above = [-60.0, 35.5, -900.0], [-60.0, 35.5, -897.0]
        points = markups(("F-1", origin), ("background-7", above), name="tumor")
        assert read(written(tmp_path, points)) == Clicks([[0, 0, 0]], [[0, 0, 1]])
        assert read(written(tmp_path, markups(("F-1", origin)), "background.mrk.json")) == Clicks([], [[0, 0, 0]])
        with pytest.raises(InputError, match=r"point 1: has the label 'F-1'; label the points"):
            read(written(tmp_path, markups(("F-1", origin))))

    def test_folder_of_lists(self, tmp_path):
        origin, above = [-60.0, 35.5, -900.0], [-60.0, 35.5, -897.0]
        written(tmp_path, markups(("F-1", origin)), "tumor.mrk.json")
        written(tmp_path, markups(("F-1", above), ("F-2", above)), "background.mrk.json")
        (tmp_path / "._tumor.mrk.json").write_bytes(b"\0\5\x16\7\0\2 Mac OS X")
        (tmp_path / "folder.mrk.json").mkdir()
        assert read(tmp_path) == Clicks([[0, 0, 0]], [[0, 0, 1]] * 2)
        written(tmp_path, markups(("F-1", origin)), "background.mrk.json")
        with pytest.raises(InputError, match=r"has the voxel \[0, 0, 0\] both as tumor and as background"):
            read(tmp_path)

    def test_folder_without_lists(self, tmp_path):
        with pytest.raises(InputError, match=r"no \.mrk\.json file in this folder"):
            read(tmp_path)

    def test_points_that_were_not_placed_are_left_out(self, tmp_path):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]))
        document["markups"][0]["controlPoints"].append(
            {"label": "tumor-2", "position": None, "positionStatus": "undefined"}
        )
        assert read(written(tmp_path, document)) == Clicks([[0, 0, 0]], [])

    @pytest.mark.parametrize("status", ["undefined", "preview", "missing"])
    def test_every_state_of_a_point_without_a_place(self, tmp_path, status):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]), ("tumor-2", [-60.0, 35.5, -897.0]))
        document["markups"][0]["controlPoints"][0]["positionStatus"] = status
        document["markups"][0]["controlPoints"][1]["positionStatus"] = "defined"
        assert read(written(tmp_path, document)) == Clicks([[0, 0, 1]], [])

    def test_an_unknown_state_of_a_point(self, tmp_path):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]))
        document["markups"][0]["controlPoints"][0]["positionStatus"] = "guessed"
        with pytest.raises(InputError, match=r"point 1: has the positionStatus 'guessed'; known are defined"):
            read(written(tmp_path, document))

    @pytest.mark.parametrize("kind", ["Angle", "Plane", "ROI", "Surface", 3, None])
    def test_markups_whose_control_points_are_no_clicks(self, tmp_path, kind):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]), name="tumor", type=kind)
        with pytest.raises(InputError, match=r"holds a Markup of type .*, whose control points are no clicks; place"):
            read(written(tmp_path, document, "tumor.mrk.json"))

    @pytest.mark.parametrize(
        ("kind", "ends", "way"),
        [
            ("Line", [(3, 3, 3), (6, 3, 3)], [(3, 3, 3), (4, 3, 3), (5, 3, 3), (6, 3, 3)]),
            ("Curve", [(3, 3, 3), (5, 5, 3), (5, 5, 5)], [(3, 3, 3), (4, 4, 3), (5, 5, 3), (5, 5, 4), (5, 5, 5)]),
            ("ClosedCurve", [(3, 3, 3), (5, 3, 3), (5, 5, 3)],
             [(3, 3, 3), (4, 3, 3), (5, 3, 3), (5, 4, 3), (5, 5, 3), (4, 4, 3)]),
            ("Curve", [(3, 3, 3)], [(3, 3, 3)]),
        ],
    )  # fmt: skip
    def test_lines_and_curves_are_scribbles_along_their_path(self, tmp_path, kind, ends, way):
        points = [(f"C-{i}", ((AFFINE @ [*end, 1])[:3] * [-1, -1, 1]).tolist()) for i, end in enumerate(ends)]
        document = markups(*points, type=kind, name="background")
        found = read(written(tmp_path, document)).interactions()
        assert found == [Interaction("background", way)]

    def test_curves_beside_point_lists(self, tmp_path):
        at = [((AFFINE @ [x, 3, 3, 1])[:3] * [-1, -1, 1]).tolist() for x in (3, 5, 9, 12)]
        document = markups(("tumor-1", at[0]), ("tumor-2", at[1]), type="Curve")
        document["markups"] += markups(("background-1", at[2]), ("tumor-3", at[3]))["markups"]
        assert read(written(tmp_path, document)).interactions() == [
            Interaction("tumor", [(3, 3, 3), (4, 3, 3), (5, 3, 3)]),
            Interaction("background", [(9, 3, 3)]),
            Interaction("tumor", [(12, 3, 3)]),
        ]

    def test_a_curve_of_two_kinds(self, tmp_path):
        at = ((AFFINE @ [3, 3, 3, 1])[:3] * [-1, -1, 1]).tolist()
        document = markups(("tumor-1", at), ("background-1", at), type="Curve")
        with pytest.raises(InputError, match="holds a curve with tumor and background points; draw one curve for each"):
            read(written(tmp_path, document))

    @pytest.mark.parametrize("kind", ["Fiducial", "fiducial", "PointList"])
    def test_point_lists(self, tmp_path, kind):
        document = markups(("tumor-1", [-60.0, 35.5, -900.0]), type=kind)
        assert read(written(tmp_path, document)) == Clicks([[0, 0, 0]], [])
        del document["markups"][0]["type"]
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
