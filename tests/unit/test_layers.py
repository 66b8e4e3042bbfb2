"""Imports between packages point one way: each package imports only from those that stand before it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "clickpet"
#: From the ground up. "" is the ground: modules directly in `clickpet/`.
LAYERS = [
    "", "dicom", "clicks", "tracer", "nnunet", "organs", "ingest", "phantom", "train", "predict", "postprocess",
    "evaluate", "models", "report", "live", "serve", "review", "workflow", "cli",
]  # fmt: skip
FILES = sorted(LIBRARY.rglob("*.py"))


def package_of(module: str) -> str:
    """Package of a dotted name below `clickpet`."""
    parts = module.split(".")[1:]
    return parts[0] if parts and (LIBRARY / parts[0]).is_dir() else ""


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of all imports from clickpet, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clickpet":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "clickpet")


def test_every_package_has_its_layer():
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(LAYERS) - {
        ""
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(LIBRARY)))
def test_imports_point_down(file):
    own = "" if file.parent == LIBRARY else file.relative_to(LIBRARY).parts[0]
    for module, name in imports(file):
        target = package_of(f"{module}.{name}" if (LIBRARY / module.partition(".")[2] / name).is_dir() else module)
        assert LAYERS.index(target) <= LAYERS.index(own), f"{module} is above {own or 'the ground'}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(LIBRARY)))
def test_no_private_name_crosses_a_package(file):
    own = "" if file.parent == LIBRARY else file.relative_to(LIBRARY).parts[0]
    for module, name in imports(file):
        if package_of(module) != own:
            assert not any(part.startswith("_") and not part.startswith("__") for part in (*module.split("."), name))


def test_modules_import_in_no_circle():
    modules = {".".join(("clickpet", *file.relative_to(LIBRARY).with_suffix("").parts)): file for file in FILES}
    graph = {
        name: {found for module, one in imports(file) for found in (module, f"{module}.{one}") if found in modules}
        for name, file in modules.items()
    }
    from graphlib import TopologicalSorter

    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", [name for name in LAYERS if name not in ("workflow", "cli")])
def test_the_library_knows_nothing_of_snakemake(package):
    for file in FILES:
        if file.parent.name == package or (package == "" and file.parent == LIBRARY):
            for node in ast.walk(ast.parse(file.read_text())):
                named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    named.append(node.module)
                assert not any(name.split(".")[0].startswith("snakemake") for name in named), file
