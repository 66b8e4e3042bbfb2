"""docs/paper.md: it goes through the paper's section 2 in order, and every key, rule, function and file exists."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from clickpet.config import schema
from clickpet.evaluate.scores import score_masks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
#: Headings of the paper's section 2, in its order.
SECTIONS = [
    "Images", "Clicks", "Heatmaps", "Tracer discriminator", "Segmentation models", "Additional organs supervision",
    "Post-processing", "Dynamic inference depth",
]  # fmt: skip
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)
]


def names(column: int) -> list[str]:
    return sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row[column])})


def test_the_sections_are_the_papers():
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == SECTIONS


def test_statements_are_numbered_through_and_each_leads_to_a_rule_or_code():
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 40
    for number, statement, *places in ROWS:
        assert len(places) == 3, number
        assert statement, number
        assert any(places[1:]), number


@pytest.mark.parametrize("key", names(2))
def test_the_config_key_exists(key):
    part = schema()
    for step in key.split("."):
        part = part["properties"][step]
    assert part["description"]


@pytest.mark.parametrize("rule", names(3))
def test_the_rule_exists(rule):
    assert any(
        re.search(rf"^ *(rule|checkpoint) {rule}:$", file.read_text(), re.MULTILINE)
        for file in (ROOT / "rules").iterdir()
    )
    assert (ROOT / "scripts" / f"{rule}.py").is_file()


@pytest.mark.parametrize("name", [name for name in names(4) if not re.fullmatch(r"[a-z_]+", name)])
def test_the_function_or_file_exists(name):
    if "/" in name:
        assert (ROOT / name).is_file()
        return
    parts = name.split(".")
    module = next(end for end in range(len(parts), 0, -1) if ROOT.joinpath(*parts[:end]).with_suffix(".py").is_file())
    thing = importlib.import_module(".".join(parts[:module]))
    for part in parts[module:]:
        thing = getattr(thing, part)
    if hasattr(thing, "__module__"):
        assert thing.__module__ == ".".join(parts[:module]), (
            "it is only imported there: name the module that defines it"
        )


@pytest.mark.parametrize("score", [name for name in names(4) if re.fullmatch(r"[a-z_]+", name)])
def test_the_score_exists(score):
    nothing = np.zeros((1, 1, 1), bool)
    assert score in score_masks(nothing, nothing, np.eye(4))
