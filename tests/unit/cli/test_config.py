"""`clickpet config`: every mistake in a config file is a line with its place, and a right config stays right."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app

CONFIG = Path(__file__).parents[3] / "config"
run = CliRunner().invoke


def check(*files):
    return run(app, ["config", *(str(file) for file in files)])


@pytest.mark.parametrize("presets", [["config.yaml"], ["config.yaml", "demo.yaml"], ["config.yaml", "sts.yaml"]])
def test_our_own_presets_are_without_mistake(presets):
    done = check(*(CONFIG / preset for preset in presets))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith("no mistake found\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("heatmap:\n  unit: [mm\n", "mine.yaml: line 3: is not valid YAML"),
        ("heatmap:\n\tunit: mm\n", "mine.yaml: line 2: is not valid YAML"),
        ("seed: 1\nseed: 2\n", "mine.yaml: line 2: is not valid YAML: the key seed is there twice"),
        ("heatmap:\n", "config: heatmap: the section is empty"),
        ("train:\n  learning_rate: 1e-4\n", "'1e-4' is text to YAML; write 0.0001 without quotes"),
        ("train:\n  patch_size: [100, 100, 100]\n", "[100, 100, 100] cannot be halved as often as the network does"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, line):
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    done = check(CONFIG / "config.yaml", mine)
    assert done.exit_code == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_later_file_wins(tmp_path):
    mine, better = tmp_path / "mine.yaml", tmp_path / "better.yaml"
    mine.write_text("train: {patch_size: [100, 100, 100]}\n")
    better.write_text("train: {patch_size: [112, 112, 112]}\n")
    assert check(CONFIG / "config.yaml", mine, better).exit_code == 0
    assert check(CONFIG / "config.yaml", better, mine).exit_code == 1


def test_a_missing_preset_and_a_target_without_dashes(tmp_path):
    done = check(CONFIG / "config.yaml", tmp_path / "none.yaml")
    assert "no such config file" in done.stderr
    done = check(CONFIG / "config.yaml", Path("prepare"))
    assert "prepare is a target, not a config file; write `--` before targets" in done.stderr
