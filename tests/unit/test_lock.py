"""The lock is the one source: environments, pins and profiles agree with it and with the rules."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def lock() -> set[str]:
    return {line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")}


def pins(environment: str) -> set[str]:
    dependencies = yaml.safe_load((ROOT / "envs" / environment).read_text())["dependencies"]
    return set(next(entry["pip"] for entry in dependencies if isinstance(entry, dict)))


def test_the_whole_environment_is_the_lock():
    assert pins("deep.yaml") == lock()


def test_the_light_environment_is_part_of_the_lock():
    assert pins("core.yaml") < lock()
    assert not any(pin.startswith(("torch==", "nnunetv2==")) for pin in pins("core.yaml"))


def test_the_container_is_built_from_the_lock_and_nothing_else():
    recipe = (ROOT / "envs" / "clickpet.def").read_text()
    installs = [line.split() for line in recipe.splitlines() if "pip install" in line]
    lock_file = "/opt/clickpet/requirements.lock"
    assert installs == [
        ["pip", "install", "--no-cache-dir", "--constraint", lock_file, "torch"],
        ["pip", "install", "--no-cache-dir", "--no-deps", "--requirement", lock_file],
    ]
    assert "requirements.lock /opt/clickpet/requirements.lock" in recipe
    python = yaml.safe_load((ROOT / "envs" / "deep.yaml").read_text())["dependencies"][0].split("=")[1]
    assert f"From: python:{python}-" in recipe


def test_the_workflow_asks_for_that_container():
    assert 'container: "envs/clickpet.sif"' in (ROOT / "Snakefile").read_text()


def test_every_package_is_pinned_once():
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", pin) for pin in lock())
    names = [pin.split("==")[0].lower() for pin in lock()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("pin", ["torch==2.13.0", "nnunetv2==2.8.1", "snakemake==9.27.1", "TotalSegmentator==2.18.0"])
def test_the_promised_versions(pin):
    assert pin in lock()


@pytest.mark.parametrize("profile", ["default", "demo", "slurm", "gpu"])
def test_profiles_name_rules_that_exist(profile):
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^\s*rule (\w+):", text, flags=re.MULTILINE))
    settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    named = {*settings.get("set-resources", {}), *settings.get("set-threads", {})}
    named |= {entry.split("=")[0] for entry in settings.get("groups", [])}
    assert named <= rules
    groups = {entry.split("=")[1] for entry in settings.get("groups", [])}
    assert {entry.split("=")[0] for entry in settings.get("group-components", [])} == groups


def test_the_default_profile_shares_no_key_with_the_others():
    keys = {name: set(yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())) for name in
            ("default", "demo", "slurm", "gpu")}  # fmt: skip
    for name in ("demo", "slurm", "gpu"):
        assert not keys["default"] & keys[name]


def test_the_slurm_profile_is_found_by_its_name():
    assert (ROOT / "slurm").resolve() == (ROOT / "profiles" / "slurm").resolve()


def test_every_rule_has_a_script_of_its_name():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    for path in (ROOT / "rules").glob("*.smk"):
        for rule, body in re.findall(
            r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            assert rule in scripts
            assert f'"../scripts/{rule}.py"' in body


def normal(name: str) -> str:
    """A distribution's name as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_packages() -> dict[str, set[str]]:
    """Third-party packages that the library imports, anywhere, and the files that do."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "clickpet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"clickpet"}:
                found.setdefault(name, set()).add(path.name)
    return found


@pytest.mark.parametrize("package", sorted(imported_packages()))
def test_every_import_is_a_dependency_and_pinned(package):
    distributions = {normal(name) for name in packages_distributions()[package]}
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert distributions & {normal(re.match(r"[\w.-]+", line)[0]) for line in dependencies}, imported_packages()[
        package
    ]
    assert distributions & {normal(pin.split("==")[0]) for pin in lock()}


def test_every_dependency_is_pinned():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {normal(re.match(r"[\w.-]+", line)[0]) for line in dependencies} <= {
        normal(pin.split("==")[0]) for pin in lock()
    }
