"""What the operating system says, as one line for users."""

import errno
import os
import shutil

import pytest

from clickpet.errors import InputError, from_os_error


def refused(call) -> str:
    with pytest.raises(OSError, match="Errno") as caught:
        call()
    return str(from_os_error(caught.value))


def test_the_path_what_is_wrong_and_the_mend(tmp_path):
    (tmp_path / "file").touch()
    absent, below = tmp_path / "absent", tmp_path / "file" / "below"
    assert refused(absent.read_text) == f"{absent}: no such file or directory; correct the path"
    assert refused(below.read_text) == f"{below}: not a directory; correct the path"
    assert refused(tmp_path.read_text) == f"{tmp_path}: is a directory; give a file, not a folder"


def test_where_a_file_was_to_be_moved_to_is_named_not_its_temporary_name(tmp_path):
    (tmp_path / ".tmp").touch()
    (tmp_path / "folder").mkdir()
    line = refused(lambda: os.replace(tmp_path / ".tmp", tmp_path / "folder"))
    assert line.startswith(f"{tmp_path / 'folder'}: ")


def test_a_long_path_is_cut(tmp_path):
    line = refused((tmp_path / ("x" * 5000)).read_text)
    assert "file name too long; give a shorter name" in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: no space left on device; free space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", b"/data/x"), "/data/x: disk quota exceeded; free space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "x: permission denied; choose a path that you may"),
        (OSError(errno.EROFS, "Read-only file system", 7), "file descriptor 7: read-only file system; choose"),
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (OSError(errno.EIO, None), "input/output error"),
        (OSError("cut off"), "OSError: cut off"),
        (shutil.Error([("a", "b", "c")]), "Error: [('a', 'b', 'c')]"),
    ],
)
def test_every_kind_has_a_line(error, line):
    made = from_os_error(error)
    assert isinstance(made, InputError)
    assert str(made).startswith(line)
    assert "\n" not in str(made)


@pytest.mark.parametrize("part", ["what", "where", "mend"])
def test_a_long_message_is_cut_in_its_middle(part):
    parts = {"what": "is wrong", "where": "file", "mend": "mend it"}
    line = str(InputError(**{**parts, part: f"first {'x' * 100_000} last"}))
    assert len(line) < 2100
    assert "first xxx" in line
    assert "xxx last" in line
    assert all(text in line for name, text in parts.items() if name != part)


@pytest.mark.parametrize("bad", ["\n", "\r\n", "\t", "\x1b[2J", "\x9b31m", "\0"])
def test_a_message_is_one_line_without_control_characters(bad):
    line = str(InputError(f"is{bad}wrong", where=f"fi{bad}le", mend="mend"))
    assert line.isprintable()
    assert line.endswith("wrong; mend")


def test_an_ordinary_message_is_left_as_it_is():
    assert (
        str(InputError("is wrong", where="Müller/日本.nii.gz", mend="mend it"))
        == "Müller/日本.nii.gz: is wrong; mend it"
    )
    assert str(InputError("x" * 2000)) == "x" * 2000
