"""Hash of the code that a script computes with: found from its imports, blind to comments, docstrings and formatting.

Starting from a script every name that it uses of the library is followed to its definition, and from there on to the
names which that one uses, through all modules. The hash is of the syntax of these definitions; type annotations count
no more than comments. So a mended docstring, a reformatted file or a clone changes no key, and a changed line changes
the keys of the scripts that reach it and of no other.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "clickpet"
#: Where following ends, because nothing there can change a value that is written; with the reason.
PLUMBING = {
    "clickpet.workflow": "when, where and with which resources a job runs",
    "clickpet.errors": "the text of an error is no result",
    "clickpet.files": "whole or not at all; the formats are those of the standard library",
    "clickpet.devices": "on which device; the arithmetic is the same up to rounding",
    "clickpet.digests": "tells networks apart, computes nothing with them",
    "clickpet.train.ownership": "which of two processes goes on",
    "clickpet.train.child_processes": "when a worker process ends",
    "clickpet.train.compilation": "whether this machine can compile; the arithmetic is the same up to rounding",
}


#: Stands for the statements of a module that run when it is imported.
EFFECTS = "<import>"


def code_key(*starts: str | Path, library: str | Path, plumbing: Iterable[str] = tuple(PLUMBING)) -> str:
    """Hash (12 hex digits of SHA-256) of all code that is reached from `starts`.

    starts : files of scripts, or dotted names of library modules or of what they define
    (`clickpet.train.trainer`, `clickpet.images.read_image`);  library : folder of the package `clickpet`;
    plumbing : modules and packages where following ends.
    """
    texts = [f"{name}\n{text}" for name, text in reached(*starts, library=library, plumbing=plumbing).items()]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def reached(*starts: str | Path, library: str | Path, plumbing: Iterable[str] = tuple(PLUMBING)) -> dict[str, str]:
    """What is reached from `starts` (as in `code_key`): {dotted name: code without comments and docstrings}, sorted."""
    library, stops = Path(library), tuple(plumbing)
    found: dict[str, str] = {}
    waiting: list[str] = []
    for start in starts:
        if Path(start).suffix == ".py":
            script = _Module(Path(start).stem, Path(start), library)
            body = [*script.effects, *(one for several in script.definitions.values() for one in several)]
            found[script.name] = "\n".join(ast.unparse(one) for one in body)
            waiting += [name for one in body for name in _used(one, script)]
        else:
            waiting.append(str(start))
    while waiting:
        name = waiting.pop()
        if name not in found and not any(name == stop or name.startswith(f"{stop}.") for stop in stops):
            found[name], used = _resolve(name, library)
            waiting += used
    return {name: text for name, text in sorted(found.items()) if text}


class _Module:
    """A module's top-level definitions and imports; `effects` are statements that run whatever is used of it."""

    def __init__(self, name: str, path: Path, library: Path):
        self.name, self.library = name, library
        self.imports: dict[str, str] = {}
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.effects: list[ast.stmt] = []
        for statement in _Bare().visit(ast.parse(path.read_text(encoding="utf-8"))).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports.update(_imported(statement))
            elif names := list(_assigned(statement)):
                for one in names:
                    self.definitions.setdefault(one, []).append(statement)
            elif not _is_for_types(statement):
                self.effects.append(statement)


class _Bare(ast.NodeTransformer):
    """Takes docstrings and type annotations out of a syntax tree."""

    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Name("_") if isinstance(node, ast.AnnAssign) else None)
        body = getattr(node, "body", None)
        if isinstance(body, list) and not isinstance(node, ast.If | ast.Try | ast.For | ast.While | ast.With):
            node.body = [one for one in body if not _is_text(one)]
            if not node.body and not isinstance(node, ast.Module):
                node.body = [ast.Pass()]
        return self.generic_visit(node)


@cache
def _module(name: str, library: Path) -> _Module | None:
    """The module of this dotted name; None where there is none."""
    path = library.joinpath(*name.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return _Module(name, file, library)
    return None


@cache
def _resolve(name: str, library: Path) -> tuple[str, list[str]]:
    """Code of a dotted name (a module, or something that a module defines), and the names that it uses."""
    if name == PACKAGE:
        return "", []
    if module := _module(name, library):  # the module itself was imported, and may be used in any way
        return "", [f"{name}.{one}" for one in (*module.definitions, EFFECTS)]
    parent, _, attribute = name.rpartition(".")
    module = _module(parent, library) if parent.startswith(PACKAGE) else None
    if module is None:  # an attribute of a definition: the definition counts whole
        return "", [parent] if parent.startswith(f"{PACKAGE}.") else []
    if attribute in module.imports:
        target = module.imports[attribute]
        return "", [target] if target.startswith(f"{PACKAGE}.") else []
    statements = module.effects if attribute == EFFECTS else module.definitions.get(attribute, [])
    used = {used for one in statements for used in _used(one, module)}
    return "\n".join(ast.unparse(one) for one in statements), sorted({*used, f"{parent}.{EFFECTS}"})


def _used(statement: ast.stmt, module: _Module) -> Iterator[str]:
    """Dotted names in the library that a statement uses: of its own module, imported, or named as text."""
    nodes = list(ast.walk(statement))
    imports = dict(module.imports)
    attributes = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(_imported(node))
        elif isinstance(node, ast.Attribute):
            attributes[id(node.value)] = node.attr
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            yield node.value.rstrip(".")
        if not isinstance(node, ast.Name):
            continue
        target = imports.get(node.id)
        if target is None:
            if node.id in module.definitions:
                yield f"{module.name}.{node.id}"
        elif target.split(".")[0] == PACKAGE:
            is_module = _module(target, module.library) is not None
            yield f"{target}.{attributes[id(node)]}" if is_module and id(node) in attributes else target


def _imported(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """{local name: dotted name} of an import."""
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name: f"{statement.module}.{alias.name}" for alias in statement.names}
    roots = {alias.name.split(".")[0]: alias.name.split(".")[0] for alias in statement.names if not alias.asname}
    return roots | {alias.asname: alias.name for alias in statement.names if alias.asname}


def _assigned(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _is_for_types(statement: ast.stmt) -> bool:
    """True for `if TYPE_CHECKING:`."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING")


def _is_text(node: ast.AST) -> bool:
    """True for a docstring, or text that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
