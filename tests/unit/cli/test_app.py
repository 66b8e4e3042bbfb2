"""The command line: help, one-line errors, exit codes."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from clickpet import __version__
from clickpet.cli.app import app

run = CliRunner().invoke


def make_study(folder):
    folder.mkdir(parents=True)
    for name in ("CT.nii.gz", "SUV.nii.gz", "SEG.nii.gz"):
        (folder / name).touch()


def test_version():
    result = run(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"clickpet {__version__}\n")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from clickpet.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in ('numpy', 'torch', 'nibabel', 'SimpleITK', 'pandas', 'snakemake') "
        "if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_cohort_says_what_it_took_and_wrote(tmp_path):
    make_study(tmp_path / "data" / "p1")
    (tmp_path / "data" / "p2").mkdir()
    (tmp_path / "data" / "p2" / "SUV.nii.gz").touch()
    table = tmp_path / "cases.tsv"
    result = run(app, ["cohort", "nifti", str(tmp_path / "data"), "--tracer", "psma", "--out", str(table)])
    assert result.exit_code == 0
    assert "taken   1 studies of 1 patients" in result.output
    assert "  p2: no CT" in result.output
    assert result.output.endswith(f"written {table}\n")
    assert table.read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cohort", "autopet", "{tmp}/nowhere"], "clickpet: error: {tmp}/nowhere: no such folder"),
        (["cohort", "nifti", "{tmp}/data", "--tracer", "fet"], "clickpet: error: tracer 'fet' is not known; give one"),
        (
            ["cohort", "nifti", "{tmp}/data", "--tracer", "fdg", "--out", "{tmp}/there.tsv"],
            "there.tsv: is there already",
        ),
    ],
)
def test_a_mistake_is_one_line_and_a_bad_exit_code(tmp_path, arguments, message):
    make_study(tmp_path / "data" / "p1")
    (tmp_path / "there.tsv").touch()
    result = run(app, [argument.format(tmp=tmp_path) for argument in arguments])
    assert result.exit_code == 1
    assert message.format(tmp=tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1
