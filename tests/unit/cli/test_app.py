"""The command line: help, one-line errors, exit codes."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from clickpet import __version__
from clickpet.cli import app as registry
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


#: A folder where a file is wanted, a file where a folder is wanted, a path below a file, a name that is too long.
WRONG = {"folder": "{tmp}/data", "file": "{tmp}/text.txt", "below": "{tmp}/text.txt/x", "long": "{tmp}/" + "x" * 300,
         "absent": "{tmp}/absent", "binary": "{tmp}/binary"}  # fmt: skip
COMMANDS = {
    "cohort nifti": ["cohort", "nifti", "{wrong}", "--tracer", "fdg", "--out", "{tmp}/c.tsv"],
    "cohort autopet": ["cohort", "autopet", "{wrong}", "--out", "{tmp}/c.tsv"],
    "cohort dicom": ["cohort", "dicom", "{wrong}", "--out", "{tmp}/c.tsv"],
    "cohort --out": ["cohort", "nifti", "{tmp}/data", "--tracer", "fdg", "--force", "--out", "{wrong}/"],
    "predict --ct": ["predict", "--ct", "{wrong}", "--pet", "{tmp}/text.txt", "--models", "{tmp}", "--out", "{tmp}/o"],
    "predict --models": [
        *["predict", "--ct", "{tmp}/binary", "--pet", "{tmp}/text.txt", "--models", "{wrong}", "--out", "{tmp}/o"]
    ],
    "predict --config": [
        *["predict", "--ct", "{tmp}/binary", "--pet", "{tmp}/text.txt", "--models", "{tmp}", "--out", "{tmp}/o"],
        *["--config", "{wrong}"],
    ],
    "import-model": ["import-model", "fdg", "{wrong}", "--models", "{tmp}/m"],
    "import-model tracer": ["import-model", "tracer", "{wrong}", "--models", "{tmp}/m"],
    "import-model pretrained": ["import-model", "pretrained", "{wrong}", "--models", "{tmp}/m"],
    "export-model": ["export-model", "{wrong}", "{tmp}/m"],
    "fetch-weights": ["fetch-weights", "--check", "--to", "{wrong}"],
    "compare": ["compare", "a={wrong}", "b={wrong}"],
    "rank": ["rank", "a={wrong}"],
    "export": ["export", "{wrong}"],
    "export --cohort": ["export", "{tmp}", "--cohort", "{wrong}"],
    "simulate-budget": ["simulate-budget", "{wrong}"],
    "grand-challenge": ["grand-challenge", "--input", "{wrong}", "--output", "{tmp}/o", "--models", "{tmp}"],
}
#: A folder with a study, and places where a table can be made or replaced.
USABLE = {("cohort nifti", "folder"), *(("cohort --out", place) for place in ("absent", "file", "binary"))}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_cannot_be_used_is_one_line(tmp_path, command, wrong):
    make_study(tmp_path / "data" / "p1")
    (tmp_path / "text.txt").write_text("a b c")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    path = WRONG[wrong].format(tmp=tmp_path)
    result = run(app, [word.format(tmp=tmp_path, wrong=path) for word in COMMANDS[command]])
    if (command, wrong) in USABLE:
        assert result.exit_code == 0, result.output
        return
    assert isinstance(result.exception, SystemExit), result.exception
    [line] = result.stderr.splitlines()
    assert line.startswith("clickpet: error: ")
    assert len(line) < 1500


def test_a_command_its_function_and_its_module_share_their_name():
    for command in registry.app.registered_commands:
        name = command.name.replace("-", "_")
        assert command.callback is getattr(getattr(registry, name), name)
