"""The command that compares folders of results."""

import pytest
import typer
from results_maker import make_results
from typer.testing import CliRunner

from clickpet.cli.compare import compare
from clickpet.errors import InputError
from clickpet.evaluate.tables import read_table

app = typer.Typer()
app.command()(compare)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_results(folder / "full", studies=6)
    make_results(folder / "ablated", studies=6, seed=2, interactive=False)
    return folder


def test_folders_are_compared(folders, tmp_path):
    runs = [f"full={folders / 'full' / 'results'}", f"no organs={folders / 'ablated' / 'results'}"]
    done = CliRunner().invoke(app, [*runs, "--out", str(tmp_path / "out"), "--repeats", "50"])
    assert done.exit_code == 0, done.output
    table = read_table(tmp_path / "out" / "comparison.tsv")
    assert set(table["run"]) == {"no organs"}
    assert set(table["reference"]) == {"full"}
    assert (tmp_path / "out" / "comparison.html").read_text().startswith("<!DOCTYPE html>")
    assert r"\toprule" in (tmp_path / "out" / "comparison.tex").read_text()


@pytest.mark.parametrize(
    ("runs", "message"),
    [(["results"], "is no run"), (["=results"], "is no run"), (["a=nowhere", "b=nowhere"], "no such file")],
)
def test_mistakes_are_told(runs, message, tmp_path):
    done = CliRunner().invoke(app, [*runs, "--out", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
