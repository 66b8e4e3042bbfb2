"""All pages: links lead somewhere, and every module, file, config key, rule and command that is named exists."""

import importlib
import re
from pathlib import Path

import pytest
from typer.main import get_command

from clickpet.cli.app import app
from clickpet.config import schema

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config" / "README.md", ROOT / "container" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]  # fmt: skip
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
#: Folders of the checkout; other paths in a text may be a user's own, or results.
PARTS = ("clickpet", "rules", "scripts", "tests", "docs", "profiles", "envs", "container", "config/schemas")
#: Last parts of names of files, which look like dotted names otherwise.
ENDS = ("gz", "tar", "tsv", "json", "html", "npy", "png", "tex", "sif", "def")
COMMANDS = get_command(app).commands

pages = pytest.mark.parametrize("page", TEXTS)


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, a package, or something that a module holds."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            thing = importlib.import_module(".".join(parts[:end]))
            for part in parts[end:]:
                thing = getattr(thing, part, None)
            return thing is not None
    return False


def is_config_key(dotted: str) -> bool:
    part = schema()
    for step in dotted.split("."):
        part = part.get("properties", {}).get(step)
        if part is None:
            return False
    return True


def in_backticks(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


@pages
def test_links_lead_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pages
def test_dotted_names_of_the_library_exist(page):
    named = set(re.findall(r"\bclickpet(?:\.[A-Za-z_]\w*)+", TEXTS[page]))
    assert not [name for name in sorted(named) if not name.endswith(ENDS) and not resolves(name)]


@pages
def test_files_of_the_checkout_exist(page):
    named = {name.rstrip("/") for name in in_backticks(TEXTS[page]) if name.startswith(tuple(f"{p}/" for p in PARTS))}
    plain = [name for name in named if not re.search(r"[{}*<> …:]", name) and name != "envs/clickpet.sif"]
    assert not [name for name in sorted(plain) if not (ROOT / name).exists()]


@pages
def test_config_keys_exist(page):
    sections = "|".join(name for name, part in schema()["properties"].items() if "properties" in part)
    named = set()
    for text in in_backticks(TEXTS[page]):
        if found := re.match(rf"((?:{sections})(?:\.[a-z_]+)+)(?:$|:| )", text):
            named.add(found[1])
    assert not [key for key in sorted(named) if not key.endswith(ENDS) and not is_config_key(key)]


@pages
def test_commands_and_their_options_exist(page):
    code = "\n".join(re.findall(r"```.*?```|^    .*$|`[^`\n]+`", TEXTS[page], re.DOTALL | re.MULTILINE))
    for name, rest in re.findall(
        r"(?<![\w/.-])(?:\.venv/bin/)?clickpet ([a-z][a-z-]+)([^\n`]*)", code.replace("\\\n", " ")
    ):
        assert name in COMMANDS, f"clickpet {name}"
        known = [COMMANDS[name], *getattr(COMMANDS[name], "commands", {}).values()]
        options = {flag for command in known for parameter in command.params for flag in parameter.opts} | {"--help"}
        assert set(re.findall(r" (--[a-z][a-z-]+)", rest)) <= options, f"clickpet {name}{rest}"


def included_stages() -> list[str]:
    order = re.findall(r'^include: "rules/(\w+)\.smk"$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    return [name for name in order if name not in ("common", "networks", "repairs")]


def test_data_flow_has_a_section_for_each_stage_that_names_its_rules_in_order():
    sections = re.split(r"^## (.+)$", TEXTS["docs/data-flow.md"], flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    stages = included_stages()
    assert list(texts)[: len(stages)] == stages
    for stage in stages:
        rules = re.findall(
            r"^ *(?:rule|checkpoint) (\w+):", (ROOT / "rules" / f"{stage}.smk").read_text(), re.MULTILINE
        )
        assert re.findall(r"^\| `(\w+)`", texts[stage], re.MULTILINE) == rules, stage


@pytest.mark.parametrize("stage", included_stages())
def test_a_stage_has_one_name(stage):
    for place in (f"clickpet/{stage}/__init__.py", f"tests/unit/{stage}", f"rules/{stage}.smk"):
        assert (ROOT / place).exists(), place
    assert re.search(rf"^\| {stage} ", (ROOT / "Snakefile").read_text(), re.MULTILINE)


def test_the_landing_page_leads_to_every_page():
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS["docs/README.md"])}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= targets
    assert {"../README.md", "../CONTRIBUTING.md", "../config/README.md", "../container/README.md"} <= targets


def test_the_glossary_is_sorted_and_has_each_word_once():
    words = re.findall(r"^\| (?!word|---)([^|]+?) \|", TEXTS["docs/glossary.md"], re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    assert len(words) == len(set(words))
    for word in ("case", "clicks", "depth", "ensemble", "fold", "members", "slug", "study", "tracer"):
        assert word in words


def test_contributing_knows_every_package():
    packages = {path.parent.name for path in (ROOT / "clickpet").glob("*/__init__.py")}
    assert not [name for name in sorted(packages) if f"`{name}`" not in TEXTS["CONTRIBUTING.md"]]
