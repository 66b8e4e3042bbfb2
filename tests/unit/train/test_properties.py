"""Properties of preprocessed cases: nnU-Net's own are read, code in them does not run."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.train.properties import data_digest, read_properties


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_what_nnunet_writes_is_read(tmp_path, protocol):
    written = {
        "spacing": [3.0, np.float64(2.0), np.float32(2.0)],
        "class_locations": {1: np.arange(12).reshape(3, 4), 2: np.zeros((0, 4), np.int64)},
        "bbox_used_for_cropping": [[0, 3], [0, np.int64(4)], [0, 5]],
        "digest": "abc",
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(written, protocol))
    read = read_properties(path)
    assert read["spacing"] == written["spacing"]
    assert read["bbox_used_for_cropping"] == written["bbox_used_for_cropping"]
    for label, places in written["class_locations"].items():
        np.testing.assert_array_equal(read["class_locations"][label], places)
    assert data_digest(path) == "abc"


class _Bomb:
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize("function", [open, eval, subprocess.run, Path])
def test_code_does_not_run(tmp_path, function):
    path = tmp_path / "a.pkl"
    argument = str(tmp_path / "ran") if function is not eval else f"open({str(tmp_path / 'ran')!r}, 'w')"
    path.write_bytes(pickle.dumps({"digest": _Bomb((function, (argument,)))}))
    with pytest.raises(InputError, match=rf"{path}: cannot be read as properties of a case \(it names"):
        read_properties(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"weights", pickle.dumps({"digest": "a" * 999})[:50]])
def test_broken_files_are_one_line(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as properties"):
        read_properties(path)


def test_reading_a_digest_does_not_import_torch():
    code = "import sys, clickpet.train.properties; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
