"""Keys of code: what changes them and what does not, and that every rule has the key of its own script."""

import re
from pathlib import Path

import pytest

from clickpet.workflow.code_key import PLUMBING, code_key, reached

ROOT = Path(__file__).parents[3]
HEATMAP = '''"""Heatmaps."""
from __future__ import annotations

import numpy as np

from clickpet.clicks import reading
from clickpet.errors import InputError
from clickpet.shapes import ball

SIGMA = 3


def draw(clicks: list[int]) -> np.ndarray:
    """Draw them."""
    # one by one
    return [reading.parse(click) + ball(SIGMA) for click in clicks]


def unused(x):
    return x
'''
SCRIPT = '''"""Draw."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0]):
        from clickpet.clicks.heatmap import draw

        draw(job.params.clicks)


if "snakemake" in globals():
    main(snakemake)
'''
FILES = {
    "__init__": "",
    "clicks/__init__": "",
    "clicks/heatmap": HEATMAP,
    "clicks/reading": "def parse(text):\n    return int(text)\n\n\ndef write(x):\n    return str(x)\n",
    "shapes": 'TABLE = {1: 2}\nNETWORK = "clickpet.nets.Net"\n\n\ndef ball(r):\n    return TABLE[r], NETWORK\n',
    "nets": "class Net:\n    depth = 3\n",
    "errors": "class InputError(ValueError):\n    pass\n",
    "workflow/__init__": "",
    "workflow/job": "def logged(log):\n    return open(log)\n",
}


@pytest.fixture
def key(tmp_path):
    """The key of a small script with a small library; `changes` are pairs (file, old text, new text)."""
    count = iter(range(100))

    def of(*changes):
        library = tmp_path / str(next(count)) / "clickpet"
        for name, text in {**FILES, "../script": SCRIPT}.items():
            for file, old, new in changes:
                if file == name:
                    assert old in text
                    text = text.replace(old, new)
            (library / name).with_suffix(".py").parent.mkdir(parents=True, exist_ok=True)
            (library / name).with_suffix(".py").write_text(text)
        return code_key(library.parent / "script.py", library=library)

    return of


@pytest.mark.parametrize(
    "change",
    [
        ("clicks/heatmap", '"""Draw them."""', '"""Draw all of them."""'),
        ("clicks/heatmap", '"""Heatmaps."""', '"""Heatmaps, drawn."""'),
        ("clicks/heatmap", "# one by one", "# all"),
        ("clicks/heatmap", "    # one by one\n", "\n\n"),
        ("clicks/heatmap", "[reading.parse(click) + ball(SIGMA) ", "[\n    reading.parse(click)\n    + ball(SIGMA) "),
        ("clicks/heatmap", "clicks: list[int]", "clicks: tuple[int, ...]"),
        ("clicks/heatmap", "return x\n", "return 2 * x\n"),
        ("clicks/reading", "return str(x)", "return repr(x)"),
        ("errors", "pass", "code = 1"),
        ("workflow/job", "open(log)", "open(log, 'a')"),
        ("../script", '"""Draw."""', '"""Draw it."""'),
    ],
)
def test_what_changes_no_value_changes_no_key(key, change):
    assert key(change) == key()


@pytest.mark.parametrize(
    "change",
    [
        ("clicks/heatmap", "SIGMA = 3", "SIGMA = 4"),
        ("clicks/heatmap", "+ ball", "- ball"),
        ("clicks/reading", "int(text)", "float(text)"),
        ("clicks/reading", "def parse", "print()\n\n\ndef parse"),
        ("shapes", "{1: 2}", "{1: 3}"),
        ("nets", "depth = 3", "depth = 4"),
        ("../script", "draw(job.params.clicks)", "draw(job.params.clicks[1:])"),
    ],
)
def test_what_is_computed_with_changes_the_key(key, change):
    assert key(change) != key()


def rules() -> dict[str, str]:
    """Names and texts of all rules."""
    texts = [path.read_text() for path in sorted((ROOT / "rules").glob("*.smk"))]
    pattern = re.compile(
        r"^ *(?:rule|checkpoint) (\w+):\n(.*?)(?=^ *(?:rule|checkpoint) |\Z)", re.MULTILINE | re.DOTALL
    )
    return {name: body for text in texts for name, body in pattern.findall(text)}


@pytest.mark.parametrize("rule", sorted(rules()))
def test_rules_carry_the_key_of_their_script(rule):
    assert f"../scripts/{rule}.py" in rules()[rule]
    if rule != "segment_organs":  # its maps are kept by a key of their own: see ORGAN_SETTINGS
        assert f'code=code("{rule}")' in rules()[rule]


@pytest.mark.parametrize(
    ("rule", "with_it", "without"),
    [
        ("draw_heatmap", ["clicks.heatmap.draw_heatmap"], ["evaluate.scores"]),
        ("score_case", ["evaluate.scores.score_case", "components"], ["evaluate.bootstrap"]),
        ("import_case", ["dicom.suv", "images.read_image"], ["dicom.masks", "evaluate"]),
        (
            "predict_bucket",
            ["nnunet.network.DualHeadResidualEncoderUNet", "predict.sliding_window"],
            ["train", "report"],
        ),
        (
            "train_lesion_fold",
            ["train.trainer.ClickPetTrainer", "train.pretrained"],
            ["predict", "train.preprocessing"],
        ),
    ],
)
def test_what_real_scripts_reach(rule, with_it, without):
    names = reached(ROOT / "scripts" / f"{rule}.py", library=ROOT / "clickpet")
    for part in with_it:
        assert any(f"{name}.".startswith(f"clickpet.{part}.") for name in names), part
    for part in without:
        assert not any(f"{name}.".startswith(f"clickpet.{part}.") for name in names), part


def test_plumbing_exists():
    for name in PLUMBING:
        path = ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name
