"""`clickpet review`: what is missing or too much is one line before anything is opened."""

import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app


@pytest.fixture
def files(tmp_path):
    for name in ("ct.nii.gz", "pet.nii.gz"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "--ct, --pet, --models, --out missing"),
        (["--ct", "ct.nii.gz", "--pet", "pet.nii.gz", "--out", "out"], "--models missing"),
        (["results", "--ct", "ct.nii.gz"], "a worklist takes no --ct"),
        (["results", "--config", "mine.yaml"], "a worklist takes no --config"),
        (["results"], "results: has no worklist.tsv"),
        (["--ct", "none", "--pet", "pet.nii.gz", "--out", "out", "--models", "m"], "none: no such file or folder"),
        (["--ct", "ct.nii.gz", "--pet", "pet.nii.gz", "--out", "out", "--models", "m"], "m: no such folder of models"),
        (
            ["--ct", "ct.nii.gz", "--pet", "pet.nii.gz", "--out", "o", "--models", "m", "--tracer", "x"],
            "unknown tracer",
        ),
    ],
)
def test_mistakes_are_one_line(files, options, line, monkeypatch):
    monkeypatch.chdir(files)
    done = CliRunner().invoke(app, ["review", "--no-browser", *options])
    assert done.exit_code == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("clickpet: error: ")
    assert line in said
