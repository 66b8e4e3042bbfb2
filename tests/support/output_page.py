"""docs/output.md held against a folder of results: the files and the columns of tables that it names."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "output.md"
#: What a metric's columns end with.
METRIC_ENDS = ("_mean", "_low", "_high")


@dataclass(frozen=True)
class NamedFile:
    """A file pattern of the page. pattern : relative to `results/`;  always : every finished run has it."""

    pattern: str
    always: bool

    def matches(self, path: str) -> bool:
        """Whether a path below `results/` is named; a pattern that ends with / names all that is below."""
        steps = re.escape(self.pattern).replace(r"\*", "[^/]*")
        return re.fullmatch(
            re.sub(r"\\\{[^/]*?\\\}", "[^/]+", steps) + (".*" if self.pattern.endswith("/") else ""), path
        )


def named_files(text: str) -> list[NamedFile]:
    """The files that the page's tables of files name; rows with the word "only" are not of every run."""
    found = []
    for head, body in zip(*[iter(re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:])] * 2, strict=True):
        prefix = (re.search(r": `(\w+/(?:\{case\}/)?)`$", head) or [None, ""])[1]
        for row in re.findall(r"^\| (`.*) \|$", _table_of_files(body), re.MULTILINE):
            first, _, rest = row.partition(" | ")
            found += [NamedFile(prefix + name, "only" not in rest.split()) for name in re.findall(r"`([^`]+)`", first)]
    return found


def _table_of_files(body: str) -> str:
    table = re.search(r"^\| file \|.*?(?=\n\n|\Z)", body, re.MULTILINE | re.DOTALL)
    return table[0] if table else ""


def named_columns(text: str) -> dict[str, set[str]]:
    """{table or pattern: columns} of the section on columns, and those of `lesion_table.csv` with its own table."""
    section = re.search(r"^## Columns$(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    columns = {}
    for name, cell in re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE):
        columns[name] = set(re.findall(r"`([^`]+)`", cell)) - {"lesion_table.csv"}
    lesions = re.search(r"^\| column \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)[0]
    columns["lesion_table.csv"] = {
        name for row in lesions.splitlines() for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])
    }
    return columns


def unnamed_files(results: Path, text: str) -> list[str]:
    """Files below a folder of results that the page does not name."""
    named = named_files(text)
    paths = [str(path.relative_to(results)) for path in sorted(results.rglob("*")) if path.is_file()]
    return [path for path in paths if not any(one.matches(path) for one in named)]


def missing_files(results: Path, text: str) -> list[str]:
    """Patterns of the page that every run should have and this one has not."""
    paths = [str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()]
    return [one.pattern for one in named_files(text) if one.always and not any(map(one.matches, paths))]


def unnamed_columns(results: Path, text: str) -> dict[str, set[str]]:
    """{table: columns that it has and the page does not name}, for every table of a folder of results."""
    named, found = named_columns(text), {}
    for path in [*results.glob("*.tsv"), *results.glob("cases/*/*.csv")]:
        with open(path, encoding="utf-8", newline="") as file:
            header = next(csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t"))
        known = [columns for name, columns in named.items() if NamedFile(name, always=False).matches(path.name)]
        unknown = {column for column in header if not any(_is_named(column, columns) for columns in known)}
        if unknown:
            found.setdefault(path.name, set()).update(unknown)
    return found


def _is_named(column: str, named: set[str]) -> bool:
    ends = [end for end in METRIC_ENDS if column.endswith(end) and f"{{metric}}{end}" in named]
    return column in named or bool(ends)
