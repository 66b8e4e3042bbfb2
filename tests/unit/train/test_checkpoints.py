"""Checkpoints of a training: the one before is kept, and a broken one is set aside."""

import os

import pytest
import torch

from clickpet.train.checkpoints import FINAL, LATEST, PREVIOUS, read_newest, retire_latest, write_checkpoint


def content(epoch: int, **changes) -> dict:
    whole = {
        "network_weights": {"a": torch.arange(5000.0)}, "optimizer_state": {"state": {}}, "current_epoch": epoch,
        "logging": {"train_losses": [0.5]},
    }  # fmt: skip
    return whole | changes


def write(folder, epoch, name=LATEST, **changes):
    write_checkpoint(folder / name, lambda path: torch.save(content(epoch, **changes), path))


def test_the_one_before_is_kept(tmp_path):
    for epoch in (1, 2, 3):
        write(tmp_path, epoch)
    path, latest = read_newest(tmp_path, LATEST, PREVIOUS)
    assert (path.name, latest["current_epoch"]) == (LATEST, 3)
    assert read_newest(tmp_path, PREVIOUS)[1]["current_epoch"] == 2
    assert {file.name for file in tmp_path.iterdir()} == {LATEST, PREVIOUS}


def test_file_and_folder_reach_the_disk_before_and_after_the_renaming(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(f"{b} named"), replace(a, b)))
    write(tmp_path, 1)
    file, named, folder = events
    assert file.endswith(f".{LATEST}")
    assert named == f"{tmp_path / LATEST} named"
    assert folder == str(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write(tmp_path, 1)

    def fail(path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path / LATEST, fail)
    assert [file.name for file in tmp_path.iterdir()] == [LATEST]
    assert read_newest(tmp_path, LATEST)[1]["current_epoch"] == 1


def flip(path):
    """Change one byte of a tensor; torch would load it without a word."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


BREAKS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "its end is missing": lambda path: os.truncate(path, path.stat().st_size - 20),
    "all zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a byte flipped": flip,
    "something else": lambda path: path.write_text("weights"),
    "no optimizer": lambda path: torch.save({"network_weights": {}, "current_epoch": 2, "logging": {}}, path),
    "a list": lambda path: torch.save([1, 2], path),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_checkpoint_is_set_aside_and_the_one_before_is_read(tmp_path, broken, capsys):
    write(tmp_path, 1)
    write(tmp_path, 2)
    BREAKS[broken](tmp_path / LATEST)
    path, checkpoint = read_newest(tmp_path, LATEST, PREVIOUS)
    assert (path.name, checkpoint["current_epoch"]) == (PREVIOUS, 1)
    assert torch.equal(checkpoint["network_weights"]["a"], torch.arange(5000.0))
    assert {file.name for file in tmp_path.iterdir()} == {PREVIOUS, f"{LATEST}.broken"}
    assert capsys.readouterr().out.startswith(f"set aside as {LATEST}.broken: {tmp_path / LATEST}")


class _Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_checkpoint_that_carries_code_is_set_aside_and_the_code_does_not_run(tmp_path):
    write(tmp_path, 1, logging=_Bomb(tmp_path / "ran"))
    assert read_newest(tmp_path, LATEST, PREVIOUS) is None
    assert {file.name for file in tmp_path.iterdir()} == {f"{LATEST}.broken"}


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert read_newest(tmp_path, FINAL, LATEST, PREVIOUS) is None
    retire_latest(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_latest_becomes_the_one_before_at_the_end(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    retire_latest(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {PREVIOUS}
    assert read_newest(tmp_path, PREVIOUS)[1]["current_epoch"] == 2
