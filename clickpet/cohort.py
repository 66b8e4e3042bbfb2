"""The cohort table: read, checked, and each study given a slug for paths."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from clickpet.errors import InputError
from clickpet.slugs import make_slugs

TRACERS = ("fdg", "psma")
SPLITS = ("train", "test", "predict")
FILES = ("ct", "pet", "label", "clicks", "organs")
REQUIRED = ("case", "patient", "split", "ct", "pet")


@dataclass(frozen=True)
class Study:
    """A row of the cohort table; empty text where the table has nothing.

    case : original name;  slug : its name in paths;  tracer : "fdg", "psma" or "" (to be found);  split : "train"
    (cross-validation), "test" (held out, scored with the ensembles) or "predict" (no truth);  ct, pet, label,
    clicks, organs : paths of files or DICOM folders.
    """

    case: str
    slug: str
    tracer: str
    patient: str
    centre: str
    split: str
    ct: str
    pet: str
    label: str
    clicks: str
    organs: str

    def as_dict(self) -> dict[str, str]:
        """The row as plain values."""
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Study) if field.name != "slug")
#: What `write_cohort` adds; a table that has them can be read again.
ADDED = ("slug", "fold")


def read_cohort(path: str | Path, *, made_later: tuple[str, ...] = ("results/",)) -> list[Study]:
    """Read and check a cohort table (tab-separated, UTF-8, a header line), in the order of its rows.

    made_later : beginnings of paths whose files the workflow itself makes; those need not exist yet.

    Raises InputError that lists every mistake of the table with its line: missing or unknown columns, a case that
    is there twice, an unknown tracer or split, what a split needs (train: tracer and label, test: label), a
    patient in both train and test, files that are not there.
    """
    path = Path(path)
    rows = _read_rows(path)
    mistakes = []
    for number, row in enumerate(rows, start=2):
        mistakes += [f"line {number} ({row['case'] or 'no name'}): {what}" for what in _mistakes(row, made_later)]
    mistakes += _mistakes_between(rows)
    if mistakes:
        more = f" (and {len(mistakes) - 8} more)" if len(mistakes) > 8 else ""
        raise InputError(" | ".join(mistakes[:8]) + more, where=path, mend="correct these rows of the cohort table")
    slugs = make_slugs([row["case"] for row in rows])
    return [Study(slug=slug, **row) for slug, row in zip(slugs, rows, strict=True)]


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = reader.fieldnames or []
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(
            "no such cohort table", where=path, mend="write one with `clickpet cohort`, or set the config key cohort"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", where=path, mend="save it as tab-separated UTF-8") from error
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in (*COLUMNS, *ADDED)]
    if missing or unknown:
        raise InputError(
            f"its header lacks {missing} and has unknown {unknown}",
            where=path,
            mend=f"name the columns {' '.join(COLUMNS)}, separated by tabs",
        )
    if not rows:
        raise InputError("has no studies", where=path, mend="add a row for each study")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(
                f"line {number} has not as many fields as the header", where=path, mend="separate all fields by tabs"
            )
    return [{name: row.get(name, "") for name in COLUMNS} for row in rows]


def _mistakes(row: dict[str, str], made_later: tuple[str, ...]) -> list[str]:
    found = [f"{name} is empty" for name in ("case", "patient", "ct", "pet") if not row[name].strip()]
    if row["tracer"] not in ("", *TRACERS):
        found.append(f"unknown tracer {row['tracer']!r}, give {', '.join(TRACERS)} or nothing")
    if row["split"] not in SPLITS:
        found.append(f"unknown split {row['split']!r}, give one of {', '.join(SPLITS)}")
    if row["split"] == "train" and not row["tracer"]:
        found.append("a train case needs its tracer")
    if row["split"] in ("train", "test") and not row["label"]:
        found.append(f"a {row['split']} case needs a label (all zero for a healthy study)")
    for name in FILES:
        file = row[name]
        if file and not file.startswith(made_later) and not os.path.exists(file):
            found.append(f"{name} {file!r} does not exist")
    return found


def _mistakes_between(rows: list[dict[str, str]]) -> list[str]:
    found = []
    seen: dict[str, int] = {}
    split_of: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if row["case"] in seen:
            found.append(f"line {number}: case {row['case']!r} is in line {seen[row['case']]} already")
        seen.setdefault(row["case"], number)
        if row["split"] in ("train", "test"):
            other = split_of.setdefault(row["patient"], row["split"])
            if other != row["split"]:
                found.append(f"line {number}: patient {row['patient']!r} is in both train and test")
    return found


def write_cohort(path: str | Path, studies: list[Study], fold_of: dict[str, int]) -> None:
    """Write `studies` with slug and fold (empty unless split is train), tab-separated."""
    from clickpet.files import write_text

    names = ["case", "slug", *COLUMNS[1:], "fold"]
    lines = ["\t".join(names)]
    for study in studies:
        values = {**study.as_dict(), "fold": str(fold_of.get(study.slug, ""))}
        lines.append("\t".join(values[name] for name in names))
    write_text(path, "\n".join(lines) + "\n")
