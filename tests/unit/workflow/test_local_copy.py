"""Copies of training data on a local disk."""

from collections import namedtuple

import pytest

from clickpet.errors import InputError
from clickpet.workflow import local_copy


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for case in ("a.1", "b"):
        for part in local_copy.PARTS:
            (folder / f"{case}{part}").write_text(case + part)
    return folder


def test_without_a_disk_the_data_are_read_where_they_are(data):
    with local_copy.local_copy(data, ["a.1"], None) as folder:
        assert folder == data


def test_the_copy_has_the_wanted_cases_and_goes_away(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with local_copy.local_copy(data, ["a.1"], disk) as folder:
        assert folder.parent == disk
        copied = {file.name: file.read_text() for file in folder.iterdir()}
        assert copied == {f"a.1{part}": f"a.1{part}" for part in local_copy.PARTS}
    assert not any(disk.iterdir())


def test_a_failing_training_leaves_no_copy(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with pytest.raises(RuntimeError), local_copy.local_copy(data, ["b"], disk):
        raise RuntimeError
    assert not any(disk.iterdir())


def test_a_full_disk_is_told_before_anything_is_copied(data, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(100, 99, 1)
    monkeypatch.setattr(local_copy.shutil, "disk_usage", lambda _: usage)
    with (
        pytest.raises(InputError, match="a copy of the training data needs"),
        local_copy.local_copy(data, ["b"], tmp_path),
    ):
        pytest.fail("copied")
