import json
import math

import numpy as np
import pytest

from clickpet.errors import InputError
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


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2"),
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', "is ambiguous JSON: the key 'c' is there twice in one object; keep one"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "thousands of digits"),
    ],
)
def test_json_that_cannot_be_trusted_is_one_line(tmp_path, text, what):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_json(tmp_path / "a.json")
    assert str(caught.value).startswith(f"{tmp_path}/a.json: {what}" if what.startswith("is") else f"{tmp_path}/a.json")
    assert what in str(caught.value)


def test_json_of_windows_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [{"b": 1}, {"b": 2}]}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"a": [{"b": 1}, {"b": 2}]}
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="is not a text file in UTF-8"):
        read_json(tmp_path / "b.json")
