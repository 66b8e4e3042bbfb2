"""Networks are told apart by their digests."""

import os
import shutil

import pytest
import torch

from clickpet import digests
from clickpet.digests import check_recorded, recorded_digest, weights_digest
from clickpet.errors import InputError
from clickpet.files import write_json

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}


def test_equal_networks_have_equal_digests():
    assert weights_digest({"a": WEIGHTS["a"].T.contiguous().T, "b": torch.tensor(1)}) == weights_digest(WEIGHTS)


@pytest.mark.parametrize(
    "change",
    [{"b": torch.tensor(2)}, {"b": torch.tensor(1.0)}, {"a": WEIGHTS["a"].reshape(3, 2)}, {"c": torch.tensor(1)}],
)
def test_others_have_others(change):
    assert weights_digest(WEIGHTS | change) != weights_digest(WEIGHTS)


@pytest.fixture(params=["training", "import"])
def checkpoint(tmp_path, request):
    """A checkpoint whose digest training or import recorded."""
    path = tmp_path / "fdg" / "fold_2" / "checkpoint_final.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"any")
    digest = weights_digest(WEIGHTS)
    if request.param == "training":
        write_json(path.parent / "training.json", {"weights": digest})
        write_json(path.parent.parent / "import.json", {"folds": {"2": {"weights": "of an older import"}}})
    else:
        write_json(path.parent.parent / "import.json", {"folds": {"2": {"weights": digest}, "3": {"weights": "x"}}})
    return path


def test_recorded_weights_pass_and_are_hashed_once(checkpoint, monkeypatch):
    check_recorded(checkpoint, WEIGHTS)
    monkeypatch.setattr(digests, "weights_digest", lambda weights: pytest.fail("hashed again"))
    check_recorded(checkpoint, WEIGHTS)


OTHER = WEIGHTS | {"a": WEIGHTS["a"] + 1}


def test_other_weights_are_told(checkpoint):
    for _ in range(2):
        with pytest.raises(InputError, match=r"checkpoint_final\.pth: is another network .*; train, import"):
            check_recorded(checkpoint, OTHER)


def test_a_file_that_changed_later_is_looked_at_again_even_with_its_old_time(checkpoint):
    check_recorded(checkpoint, WEIGHTS)
    times = checkpoint.stat()
    checkpoint.write_bytes(b"new")
    os.utime(checkpoint, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match="is another network"):
        check_recorded(checkpoint, OTHER)


def test_a_touched_or_copied_file_passes(checkpoint, tmp_path):
    check_recorded(checkpoint, WEIGHTS)
    checkpoint.touch()
    check_recorded(checkpoint, WEIGHTS)
    shutil.copytree(tmp_path / "fdg", tmp_path / "copy")
    check_recorded(tmp_path / "copy" / "fold_2" / checkpoint.name, WEIGHTS)


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"folds": ["2"]}', '{"folds": {"1": {"weights": "x"}}}'])
def test_without_a_record_there_is_nothing_to_compare(tmp_path, text):
    path = tmp_path / "fdg" / "fold_2" / "checkpoint_final.pth"
    path.parent.mkdir(parents=True)
    if text is not None:
        (path.parent / "training.json").write_text(text)
        (path.parent.parent / "import.json").write_text(text)
    assert recorded_digest(path) is None
    check_recorded(path, OTHER)


def test_a_folder_that_cannot_be_written_is_no_obstacle(checkpoint, monkeypatch):
    def refuse(*arguments):
        raise OSError

    monkeypatch.setattr(digests, "write_json", refuse)
    check_recorded(checkpoint, WEIGHTS)
