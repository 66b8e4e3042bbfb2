"""Measure clickpet against plain references: `python tests/bench [--only NAME ...] [--write docs/benchmarks.md]`.

Runs `rows()` of every bench_NAME.py beside this file and prints a Markdown table for each. With
`--write` the tables go into the given page, one section per bench file; sections of bench files that
did not run are kept. A row whose data are not there says so and counts as neither met nor missed. Exit code 1 if a
promised ratio or memory limit was missed.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

#: Keys of a row that hold a goal, and those of the values that are held against them.
PROMISES = {"goal": "ratio", "memory_goal": "memory"}
#: Bench files that run only if they are named.
ON_REQUEST = ("gpu",)
FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1])]

HEAD = """# Benchmarks

Each step of the method against a plain reference (its definition, written straightforwardly) in the
same run. Seconds are the best of several calls. Memory is the peak resident memory that the call
needed beyond its inputs, results included, as a multiple of its largest input array; its limit is in
brackets. "Met" is about both, the ratio and the memory. This page is written by

    make bench

and one section of it by the command under its table. The command ends with an error if a goal is missed.
"""
COLUMNS = """| step | reference s | ours s | ratio | goal | extra memory / largest input | met | |
|---|--:|--:|--:|--:|--:|---|---|"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=__doc__.split("\n")[0])
    names = [path.stem.removeprefix("bench_") for path in sorted(FOLDER.glob("bench_*.py"))]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"any of: {' '.join(names)}")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this Markdown page")
    options = parser.parse_args(arguments)

    sections, missed = {}, []
    for name in options.only or [name for name in names if name not in ON_REQUEST]:
        bench = importlib.import_module(f"bench_{name}")
        print(f"\n{bench.__doc__.strip()}\n\n{COLUMNS}", flush=True)
        lines = []
        for row in bench.rows():
            lines.append(table_line(row))
            print(lines[-1], flush=True)
            missed += [] if meets_goals(row) else [row["name"]]
        sections[name] = section(name, bench.__doc__, lines)
    if options.write:
        from clickpet.files import write_text

        before = options.write.read_text(encoding="utf-8") if options.write.exists() else ""
        write_text(options.write, page(before, sections))
    if missed:
        print(f"\nmissed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def meets_goals(row: dict) -> bool:
    """True if the row keeps the ratio and the memory limit that it promises (a missing value promises nothing)."""
    ratio_kept = row.get("goal") is None or row.get("ratio") is None or row["ratio"] >= row["goal"]
    memory_kept = row.get("memory_goal") is None or row.get("memory") is None or row["memory"] <= row["memory_goal"]
    return ratio_kept and memory_kept


def table_line(row: dict) -> str:
    """A row as a line of the Markdown table."""
    memory = _number(row.get("memory"))
    if row.get("memory_goal") is not None:
        memory += f" (≤ {_number(row['memory_goal'])})"
    goal = "-" if row.get("goal") is None else f"≥ {_number(row['goal'])}"
    ratio = "-" if row.get("ratio") is None else f"{_number(row['ratio'])}x"
    met = "-" if not promises(row) else "yes" if meets_goals(row) else "**no**"
    seconds = [_number(row.get("reference_s")), _number(row.get("ours_s"))]
    return f"| {' | '.join([row['name'], *seconds, ratio, goal, memory, met, row.get('note', '')])} |"


def promises(row: dict) -> bool:
    """True if the row holds a measurement that a goal belongs to."""
    return any(row.get(goal) is not None and row.get(value) is not None for goal, value in PROMISES.items())


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def section(name: str, doc: str, lines: list[str]) -> str:
    """Markdown of one bench file, between markers by which it is found again."""
    from measure import machine

    title, _, rest = doc.strip().partition("\n")
    body = "\n".join([COLUMNS, *lines])
    command = f"`.venv/bin/python tests/bench --only {name} --write docs/benchmarks.md`"
    parts = [f"## {title.rstrip('.')}", rest.strip(), body, f"Measured on {machine()}, by {command}."]
    text = "\n\n".join(part for part in parts if part)
    return f"<!-- bench {name} -->\n{text}\n<!-- end {name} -->"


def page(before: str, sections: dict[str, str]) -> str:
    """The whole page: its head and, sorted by name, the new sections and the old ones that have no new one."""
    old = {found[1]: found[0] for found in re.finditer(r"<!-- bench (\w+) -->.*?<!-- end \1 -->", before, re.DOTALL)}
    merged = {**old, **sections}
    return "\n".join([HEAD, "\n\n".join(merged[name] for name in sorted(merged)), ""])


if __name__ == "__main__":
    sys.exit(main())
