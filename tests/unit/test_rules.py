"""Rules hand their scripts nothing that these do not read: a dead parameter would re-run jobs for nothing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Parameters that are only there to be compared: hashes of code and templates.
KEYS = {"code", "template"}
RULE = re.compile(r"^( *)(?:rule|checkpoint) (\w+):\n(.*?)(?=^\1(?:\S|$)|\Z)", re.MULTILINE | re.DOTALL)
RULES = {
    name: body
    for file in sorted((ROOT / "rules").glob("*.smk"))
    for _, name, body in RULE.findall(re.sub(r"\n\n+(?= )", "\n", file.read_text()))
}


def params(body: str) -> set[str]:
    """Names of the parameters in the text of a rule."""
    found = re.search(r"^( *)params:\n((?:\1 +.*\n)+)", body, re.MULTILINE)
    if not found:
        return set()
    indent = len(found[1]) + 4
    return set(re.findall(rf"^ {{{indent}}}(\w+)=", found[2], re.MULTILINE))


def test_the_rules_are_found():
    assert len(RULES) > 30
    assert params(RULES["import_case"]) == {"name", "suv_timing", "code"}
    assert params(RULES["keep_organs"]) >= {"folder", "settings", "thresholds"}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_parameter_is_read(rule):
    script = (ROOT / "scripts" / f"{rule}.py").read_text()
    for name in params(RULES[rule]) - KEYS:
        assert re.search(rf"params\.{name}\b|[\"']{name}[\"']", script), f"params.{name} of {rule}"
