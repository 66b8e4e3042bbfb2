"""Cohort tables under construction: the studies that were taken, what was left and why, and the table written.

The builders (autoPET release, NIfTI folders, DICOM studies) look at names and headers only, and open no image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clickpet.cohort import COLUMNS, FILES, TRACERS, patient_key
from clickpet.errors import InputError
from clickpet.fields import field_text
from clickpet.slugs import CONTROL_CHARACTERS, make_slugs


@dataclass
class Cohort:
    """Rows of the cohort table, what was left out, and what the user should know.

    rows : dicts with the keys COLUMNS; paths are absolute or empty.
    left : (what, why) of each study or file that was not taken;  notes : sentences.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, case: str, **columns: object) -> None:
        """Add a row; columns that are not given stay empty."""
        row = dict.fromkeys(COLUMNS, "")
        row.update(case=case, **{name: "" if value is None else str(value) for name, value in columns.items()})
        self.rows.append(row)


def table_text(cohort: Cohort, *, relative_to: str | Path | None = None) -> str:
    """The table as text that `clickpet.cohort.read_cohort` reads: tab-separated, sorted by name, nothing quoted.

    Text that a spreadsheet would take for a formula is written as `clickpet.fields.field_text` says.

    relative_to : folder that paths are written relative to, else they are absolute.
    Raises InputError if a name cannot be written in a table or is there twice.
    """
    rows = sorted(cohort.rows, key=lambda row: row["case"])
    make_slugs([row["case"] for row in rows])
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        if relative_to is not None:
            row = row | {kind: os.path.relpath(row[kind], relative_to) for kind in FILES if row[kind]}
        for name in COLUMNS:
            _require_fit(name, row[name])
        lines.append("\t".join(field_text(row[name]) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def _require_fit(name: str, value: str) -> None:
    if CONTROL_CHARACTERS.search(value):
        raise InputError(
            f"{value!r} holds a tab or line break or another control character, which a table cannot",
            mend="rename that file",
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{value!r} is not named in UTF-8, which a table cannot hold", mend="rename that file")
    if name in FILES and set("{}") & set(value):
        raise InputError(
            f"{value!r} holds braces, which Snakemake takes for wildcards", mend="rename that file or folder"
        )


def write_table(cohort: Cohort, path: str | Path, *, relative: bool = False, force: bool = False) -> None:
    """Write the table to `path`, whole or not at all.

    relative : write paths relative to the working directory, where the workflow is started, else absolute.
    Raises InputError if there is a file already and `force` is False, and if no study was taken.
    """
    from clickpet.files import write_text

    path = Path(path)
    if path.exists() and not force:
        raise InputError("is there already", where=path, mend="give another --out, or --force to replace it")
    if not cohort.rows:
        raise InputError("no study was taken, so no table is written", mend="see above why each was left")
    write_text(path, table_text(cohort, relative_to=Path.cwd() if relative else None))


def summary_text(cohort: Cohort, *, most: int = 20) -> str:
    """What was taken, what was left and why, as lines for the terminal; `most` : reasons that are listed."""
    rows = cohort.rows
    patients = {patient_key(row["patient"] or row["case"]) for row in rows}
    lines = [f"taken   {len(rows)} studies of {len(patients)} patients"]
    for column in ("tracer", "centre", "split"):
        counts = Counter(row[column] or "not given" for row in rows)
        if rows:
            lines.append(f"  {column:<7}" + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    if rows:
        filled = ", ".join(f"{kind} {sum(bool(row[kind]) for row in rows)}" for kind in ("label", "clicks", "organs"))
        lines.append(f"  {'with':<7}{filled}")
    lines.append(f"left    {len(cohort.left)}")
    reasons: dict[str, list[str]] = {}
    for what, why in cohort.left:
        reasons.setdefault(why, []).append(what)
    for why, names in list(reasons.items())[:most]:
        lines.append(f"  {names[0]}: {why}" if len(names) == 1 else f"  {len(names)} ({some(names)}): {why}")
    if len(reasons) > most:
        lines.append(f"  ... and {sum(map(len, list(reasons.values())[most:]))} more")
    lines += [f"note    {note}" for note in cohort.notes]
    return "\n".join(lines)


def existing_folder(folder: str | Path) -> Path:
    """`folder` as an absolute path; raises InputError if it is none."""
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise InputError("no such folder" if not path.exists() else "is not a folder", where=folder)
    return path


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Raise InputError if `value` is given and not one of `choices`."""
    if value is not None and value not in choices:
        raise InputError(f"{name} {value!r} is not known", mend=f"give one of {', '.join(choices)}")


def some(names: Iterable[str], most: int = 4) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def files_in(folder: Path, endings: Iterable[str]) -> dict[str, Path]:
    """{name without its ending: path} of the files in `folder` that have one of `endings`, sorted by file name.

    A name that is there with several endings gives the first file. Hidden files (`._name` beside `name`, as a Mac
    leaves them) and folders called like files are left out.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir())
    files: dict[str, Path] = {}
    for name in names:
        ending = next((ending for ending in endings if name.endswith(ending)), None)
        if ending is not None:
            files.setdefault(name.removesuffix(ending), folder / name)
    return files


def click_files_in(folder: Path, given: str | Path | None) -> dict[str, Path]:
    """{case: click file} of the folder `given`, or of the folders in `folder` whose name starts with "clicks"."""
    folders = [existing_folder(given)] if given else sorted(path for path in folder.glob("[Cc]licks*") if path.is_dir())
    files: dict[str, Path] = {}
    for place in folders:
        files = files_in(place, ("_clicks.json", "_clicks.mrk.json", ".mrk.json", ".json")) | files
    if given and not files:
        raise InputError("holds no click file", where=given, mend="name them {case}_clicks.json")
    return files


def note_spare_files(cohort: Cohort, what: str, files: dict[str, Path]) -> None:
    """Note the files of cases that were not taken."""
    spare = sorted(set(files) - {row["case"] for row in cohort.rows})
    if spare:
        cohort.notes.append(f"{len(spare)} {what} belong to no study that was taken (first: {files[spare[0]].name})")


def tracer_in(*texts: str) -> str:
    """The one tracer that a folder or file name says, else empty."""
    words = {word for text in texts for word in "".join(c if c.isalnum() else " " for c in text.lower()).split()}
    said = words & set(TRACERS)
    return said.pop() if len(said) == 1 else ""
