"""The package's face: names imported from their modules when they are used."""

import subprocess
import sys

import pytest

import clickpet.clicks
from clickpet.clicks.reading import read_clicks


def test_every_public_name_is_there():
    for name in clickpet.clicks.__all__:
        assert getattr(clickpet.clicks, name).__name__ == name
    assert clickpet.clicks.read_clicks is read_clicks
    assert set(clickpet.clicks.__all__) <= set(dir(clickpet.clicks))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'draw'"):
        _ = clickpet.clicks.draw


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, clickpet.clicks; print(any(name in sys.modules for name in ('numpy', 'scipy', 'nibabel')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
