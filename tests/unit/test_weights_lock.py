"""Weights against the lock file beside them."""

import hashlib
import json

import pytest

from clickpet.errors import InputError
from clickpet.weights_lock import LOCK, check_locked, file_digest


@pytest.fixture
def weights(tmp_path):
    files = {"a/plans.json": b"{}", "a/fold_0/x.pth": b"weights" * 1000}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (tmp_path / LOCK).write_text(json.dumps({"a": {"files": digests}}))
    return tmp_path


def test_files_as_they_were_fetched_pass(weights):
    assert check_locked(weights, "a")
    assert check_locked(weights, "a", [weights / "a" / "fold_0" / "x.pth"])


def test_an_archive_that_the_lock_does_not_know(weights):
    assert not check_locked(weights, "b")
    (weights / LOCK).unlink()
    assert not check_locked(weights, "a")


@pytest.mark.parametrize("name", ["plans.json", "fold_0/x.pth"])
def test_a_changed_or_missing_file_is_named(weights, name):
    (weights / "a" / name).write_bytes((weights / "a" / name).read_bytes() + b" ")
    with pytest.raises(InputError, match=rf"a/{name}: has changed since it was fetched; delete .*a and fetch it again"):
        check_locked(weights, "a", [weights / "a" / name])
    (weights / "a" / name).unlink()
    with pytest.raises(InputError, match=rf"a/{name}: is missing"):
        check_locked(weights, "a")


def test_a_file_that_was_put_beside_is_refused(weights):
    (weights / "a" / "dataset.json").touch()
    with pytest.raises(InputError, match=r"dataset\.json: did not come with the weights"):
        check_locked(weights, "a", [weights / "a" / "dataset.json"])


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_digests_are_those_of_hashlib(tmp_path, kind):
    (tmp_path / "x").write_bytes(b"abc" * 10**6)
    assert file_digest(tmp_path / "x", kind) == hashlib.new(kind, b"abc" * 10**6).hexdigest()
