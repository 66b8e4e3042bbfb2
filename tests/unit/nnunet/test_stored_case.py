"""Preprocessed cases on disk: nothing in them is run, and files that changed are told."""

import os
import pickle

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.nnunet.stored_case import BLOCKS, check_stored_case, read_properties, write_properties

PROPERTIES = {
    "spacing": [3.0, np.float64(2.0), 2],
    "shape": (1, 2, 3),
    "bbox": [[0, 4], [np.int64(1), 5]],
    "class_locations": {1: np.arange(12).reshape(3, 4), 2: []},
    "digest": "ab",
    "nothing": None,
    "kinds": [slice(0, 2), b"x", frozenset([1]), 1j],
}


class Hostile:
    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_properties_of_every_protocol_are_read(tmp_path, protocol):
    plain = {name: value for name, value in PROPERTIES.items() if name != "kinds"}
    plain["order"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({**plain, "kinds": [b"x\xff", {1}, bytearray(b"y")]}, protocol))
    read = read_properties(tmp_path / "a.pkl")
    assert {name: read[name] for name in ("spacing", "shape", "bbox", "digest", "nothing")} == {
        name: plain[name] for name in ("spacing", "shape", "bbox", "digest", "nothing")
    }
    np.testing.assert_array_equal(read["class_locations"][1], plain["class_locations"][1])
    np.testing.assert_array_equal(read["order"], plain["order"])
    assert read["kinds"] == [b"x\xff", {1}, bytearray(b"y")]


@pytest.mark.parametrize(
    ("call", "arguments"), [(os.system, "touch {marker}"), (os.mkdir, "{marker}"), (eval, "open('{marker}', 'w')")]
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_in_properties_is_refused_and_not_run(tmp_path, call, arguments, protocol):
    marker = tmp_path / "ran"
    hostile = Hostile(call, arguments.format(marker=marker))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"digest": "ab", "x": [hostile]}, protocol))
    with pytest.raises(
        InputError, match=r"a\.pkl: refused: it holds more than arrays and numbers \(it names .*\); delete"
    ):
        read_properties(tmp_path / "a.pkl")
    assert not marker.exists()


def test_a_name_that_reaches_through_an_allowed_one_is_refused(tmp_path):
    # protocol 4 may ask for "ndarray.__class__" or the like
    code = b"\x80\x04\x8c\x05numpy\x8c\x19ndarray.__init_subclass__\x93)R."
    (tmp_path / "a.pkl").write_bytes(code)
    with pytest.raises(InputError, match=r"it names numpy.ndarray.__init_subclass__"):
        read_properties(tmp_path / "a.pkl")


@pytest.mark.parametrize("content", [b"", b"\x80", b"hello", pickle.dumps({"a": 1})[:-3], pickle.dumps([1]), bytes(50)])
def test_broken_properties_are_one_line(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pkl: (cannot be read|refused|holds no properties)") as caught:
        read_properties(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value)


def test_missing_properties_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent.pkl: no such file; run the workflow again"):
        read_properties(tmp_path / "absent.pkl")


@pytest.fixture
def case(tmp_path):
    for part in BLOCKS:
        (tmp_path / f"a.1{part}").write_bytes(part.encode() * 100)
    write_properties(tmp_path / "a.1.pkl", PROPERTIES)
    return tmp_path


def test_a_case_as_it_was_written_passes(case):
    for contents in (False, True):
        assert check_stored_case(case / "a.1.pkl", contents=contents)["digest"] == "ab"


@pytest.mark.parametrize("part", BLOCKS)
def test_a_file_that_was_cut_off_is_told_at_once(case, part):
    file = case / f"a.1{part}"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"a\.1{part}: has \d+ bytes, \d+ were written; delete it and run"):
        check_stored_case(case / "a.1.pkl")
    file.unlink()
    with pytest.raises(InputError, match=rf"a\.1{part}: no such file"):
        check_stored_case(case / "a.1.pkl")


@pytest.mark.parametrize("part", BLOCKS)
def test_contents_that_changed_are_told_where_contents_are_asked_for(case, part):
    file = case / f"a.1{part}"
    file.write_bytes(bytes(file.stat().st_size))
    later = (case / "a.1.pkl").stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    assert check_stored_case(case / "a.1.pkl")
    with pytest.raises(InputError, match=rf"a\.1{part}: has changed since it was written"):
        check_stored_case(case / "a.1.pkl", contents=True)


def test_a_copy_with_other_times_passes(case):
    for part in BLOCKS:
        (case / f"a.1{part}").touch()
    assert check_stored_case(case / "a.1.pkl", contents=True)["digest"] == "ab"


def test_properties_without_a_record_of_files_pass(tmp_path):
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"digest": "cd"}))
    assert check_stored_case(tmp_path / "b.pkl", contents=True) == {"digest": "cd"}
