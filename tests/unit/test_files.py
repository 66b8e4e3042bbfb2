import json
import math

import numpy as np
import pytest

from clickpet.files import content_hash, read_json, replacing, replacing_folder, write_json


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_keeps_the_suffixes_and_makes_folders(tmp_path):
    with replacing(tmp_path / "new" / "a.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("x")
    assert (tmp_path / "new" / "a.nii.gz").read_text() == "x"


def test_json_has_plain_values_only(tmp_path):
    write_json(
        tmp_path / "a.json", {"n": np.float32(1.5), "i": np.int64(3), "nan": math.nan, "a": np.arange(2), 5: "é"}
    )
    assert read_json(tmp_path / "a.json") == {"n": 1.5, "i": 3, "nan": None, "a": [0, 1], "5": "é"}
    assert json.loads((tmp_path / "a.json").read_text())["nan"] is None


def test_content_hash_sees_contents_and_order_only(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("a")
    two.write_text("b")
    before = content_hash(one, two)
    one.touch()
    assert content_hash(one, two) == before
    assert content_hash(two, one) != before
    one.write_text("c")
    assert content_hash(one, two) != before


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    with replacing_folder(folder) as temporary:
        write_json(temporary / "a" / "old.json", 1)

    def fail():
        with replacing_folder(folder) as temporary:
            write_json(temporary / "new.json", 2)
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [str(path.relative_to(folder)) for path in folder.rglob("*.json")] == ["a/old.json"]
    with replacing_folder(folder) as temporary:
        write_json(temporary / "new.json", 2)
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == ["new.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
