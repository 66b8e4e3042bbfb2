"""Clicks written: what is read again, and the formats to the letter."""

import json

import numpy as np
from click_files import AFFINE, SHAPE, TWO, challenge, read
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.clicks.writing import write_clicks, write_markups


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

    @given(seed=st.integers(0, 999), count=st.integers(0, 6))
    @settings(max_examples=20, deadline=None)
    def test_scribbles_and_their_order_come_back(self, tmp_path_factory, seed, count):
        folder = tmp_path_factory.mktemp("scribbles")
        rng = np.random.default_rng(seed)
        made = [
            Interaction(
                KINDS[kind := rng.integers(2)], rng.integers([0, 20 * kind, 0], [40, 10 + 20 * kind, 50], (n, 3))
            )
            for n in rng.integers(1, 5, count)
        ]
        write_clicks(folder / "clicks.json", Clicks.from_interactions(made))
        back = read(folder / "clicks.json")
        assert back == Clicks.from_interactions(made)
        if any(len(one.points) > 1 for one in made):
            assert back.interactions() == made

    def test_scribbles_in_slicer(self, tmp_path):
        line = Interaction("tumor", [[3, 3, 3], [4, 4, 3], [5, 4, 3]])
        apart = Interaction("background", [[9, 9, 9], [20, 9, 9]])
        clicks = Clicks.from_interactions([line, apart, Interaction("background", [[1, 1, 1]])])
        write_markups(tmp_path / "clicks.mrk.json", clicks, AFFINE)
        document = json.loads((tmp_path / "clicks.mrk.json").read_text())
        assert [markup["type"] for markup in document["markups"]] == ["Fiducial", "Curve", "Fiducial"]
        assert read(tmp_path / "clicks.mrk.json") == Clicks.from_interactions(
            [line, *(Interaction("background", [point]) for point in ([1, 1, 1], [9, 9, 9], [20, 9, 9]))]
        )

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
