"""Organ names, tables and the look-up of label maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.organs.labels import (
    LESIONTRACER_CLASSES,
    LESIONTRACER_ORGANS,
    ORGAN_CLASSES,
    ORGANS,
    organ_values,
    relabel_organs,
    table_from_names,
)

TABLE = {0: 0, 1: 5, 2: 2, 7: 5, 250: 15}


class TestNames:
    def test_fourteen_organs_from_two_on(self):
        assert len(ORGANS) == 14
        assert sorted(ORGANS.values()) == list(range(2, 16))
        assert list(ORGANS)[:5] == ["heart", "brain", "aorta", "liver", "spleen"]

    def test_classes_are_those_of_totalsegmentator(self):
        class_map = pytest.importorskip("totalsegmentator.map_to_binary").class_map
        known = set(class_map["total"].values()) | set(class_map["head_glands_cavities"].values())
        named = [name for names in ORGAN_CLASSES.values() for name in names]
        assert set(named) <= known
        assert len(named) == len(set(named))
        bones = [name for name in class_map["total"].values() if name.startswith(("vertebrae", "rib_"))]
        assert set(bones) <= set(ORGAN_CLASSES["skeleton"])

    def test_head_glands_are_looked_up_by_name(self):
        class_map = pytest.importorskip("totalsegmentator.map_to_binary").class_map
        glands = {organ: names if "glands" in organ else [] for organ, names in ORGAN_CLASSES.items()}
        table = table_from_names(class_map["head_glands_cavities"], glands)
        caught = {class_map["head_glands_cavities"][value] for value, organ in table.items() if organ}
        assert caught == {
            "parotid_gland_left",
            "parotid_gland_right",
            "submandibular_gland_left",
            "submandibular_gland_right",
        }

    def test_lesiontracer_has_the_same_numbers(self):
        assert list(LESIONTRACER_ORGANS) == list(ORGAN_CLASSES)
        table = table_from_names(LESIONTRACER_CLASSES, LESIONTRACER_ORGANS)
        assert {LESIONTRACER_CLASSES[value]: organ for value, organ in table.items()} == {
            "spleen": ORGANS["spleen"],
            "kidneys": ORGANS["kidneys"],
            "liver": ORGANS["liver"],
            "urinary_bladder": ORGANS["bladder"],
            "lungs": ORGANS["lungs"],
            "brain": ORGANS["brain"],
            "heart": ORGANS["heart"],
            "stomach": ORGANS["digestive_system"],
            "prostate": ORGANS["prostate"],
            "head_glands": ORGANS["parotid_glands"],
        }


class TestTables:
    def test_in_the_order_of_the_table(self):
        assert organ_values(["a", "b"]) == {"a": 2, "b": 3}
        table = table_from_names({4: "left", 5: "right", 6: "eye"}, {"empty": [], "lungs": ["right", "left"]})
        assert table == {4: 3, 5: 3, 6: 0}

    def test_unknown_name_gets_the_nearest(self):
        with pytest.raises(
            InputError, match=r"organs, kidneys: no class is named 'kidny_left'; did you mean"
        ) as caught:
            table_from_names({1: "kidney_left", 2: "liver"}, {"kidneys": ["kidny_left"]})
        assert "'kidney_left'?" in str(caught.value)

    def test_class_claimed_twice(self):
        with pytest.raises(InputError, match="'liver' belongs to one already"):
            table_from_names({1: "liver"}, {"one": ["liver"], "two": ["liver"]})

    def test_too_many_organs(self):
        with pytest.raises(InputError, match="254 organs do not fit"):
            organ_values([f"organ {number}" for number in range(254)])
        assert max(organ_values([f"organ {number}" for number in range(253)]).values()) == 254


def relabelled_slowly(labels, table):
    organs = np.zeros(labels.shape, np.uint8)
    for source, target in table.items():
        organs[labels == source] = target
    return organs


class TestRelabel:
    @given(
        shape=st.tuples(*[st.integers(1, 9)] * 3),
        seed=st.integers(0, 999),
        dtype=st.sampled_from(["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]),
        layout=st.sampled_from(["C", "F", "strided"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_against_one_pass_per_value(self, shape, seed, dtype, layout):
        rng = np.random.default_rng(seed)
        usable = [value for value in TABLE if value <= 127 or dtype != "int8"]
        labels = rng.choice(usable, shape).astype(dtype)
        labels = np.repeat(labels, 2, axis=1)[:, ::2] if layout == "strided" else np.array(labels, order=layout)
        organs = relabel_organs(labels, TABLE)
        assert organs.dtype == np.uint8
        assert np.array_equal(organs, relabelled_slowly(labels, TABLE))

    def test_more_than_one_chunk(self):
        labels = np.random.default_rng(0).choice(list(TABLE), (130, 120, 90)).astype(np.uint8)
        for order in "CF":
            for dtype in (np.uint8, np.int16):
                laid_out = np.array(labels, dtype, order=order)
                assert np.array_equal(relabel_organs(laid_out, TABLE), relabelled_slowly(labels, TABLE))

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
    def test_unknown_values(self, dtype):
        labels = np.array([[[0, 1, 99], [3, 7, 98]]], dtype)
        with pytest.raises(InputError, match=r"does not name: 3, 98, 99; give"):
            relabel_organs(labels, TABLE)

    @pytest.mark.parametrize("value", [1.5, -3, float("nan"), float("inf"), 251, 1e30])
    def test_strange_floats(self, value):
        labels = np.array([[[1, value]]], np.float64)
        with pytest.raises(InputError, match="does not name"):
            relabel_organs(labels, TABLE)

    def test_large_integers_do_not_wrap(self):
        labels = np.array([[[2**32 + 1, 256 + 1, -255, 1]]], np.int64)
        with pytest.raises(InputError, match=r"does not name: -255, 257, 4\.29497e\+09; give"):
            relabel_organs(labels, TABLE)
        labels = np.array([[[2**64 - 1, 1]]], np.uint64)
        with pytest.raises(InputError, match=r"does not name: 1\.84467e\+19; give"):
            relabel_organs(labels, TABLE)

    def test_background_needs_no_entry(self):
        assert relabel_organs(np.zeros((2, 2, 2), np.uint8), {3: 4}).max() == 0

    @pytest.mark.parametrize("target", [1, 255, -1, 300])
    def test_values_that_no_organ_may_have(self, target):
        with pytest.raises(InputError, match=f"organ value {target} for label 3"):
            relabel_organs(np.zeros((1, 1, 1), np.uint8), {3: target})

    def test_real_organ_map(self, shared_data):
        import nibabel as nib

        path = min((shared_data / "autopet" / "organs").glob("*.nii.gz"), key=lambda path: path.stat().st_size)
        labels = np.asarray(nib.load(path).dataobj)
        table = table_from_names(LESIONTRACER_CLASSES, LESIONTRACER_ORGANS)
        organs = relabel_organs(labels, table)
        assert np.array_equal(organs, relabelled_slowly(labels, table))
        assert np.count_nonzero(organs == ORGANS["liver"]) == np.count_nonzero(labels == 3) > 0
