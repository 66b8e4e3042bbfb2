"""The cohort table: read, checked, and each study given a slug for paths."""

from __future__ import annotations

import os
import stat
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from clickpet.errors import InputError
from clickpet.fields import field_text, field_value
from clickpet.slugs import CONTROL_CHARACTERS, make_slugs

TRACERS = ("fdg", "psma")
#: Name, in place of a tracer, of the lesion model of a run that trains one model for all of them.
JOINT = "joint"
SPLITS = ("train", "test", "predict")
FILES = ("ct", "pet", "label", "clicks", "organs")
REQUIRED = ("case", "patient", "split", "ct", "pet")
#: Longest field: the longest path of Linux.
MAX_FIELD_LENGTH = 4096
#: Largest table; 1,611 studies with long paths are 1 MB.
MAX_TABLE_BYTES = 64 * 2**20
#: Mistakes that a message lists.
_LISTED = 8
_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


@dataclass(frozen=True)
class Study:
    """A row of the cohort table; empty text where the table has nothing.

    case : original name;  slug : its name in paths;  tracer : "fdg", "psma" or "" (to be found);  patient : in one
    spelling for all studies of a patient;  split : "train" (cross-validation), "test" (held out, scored with the
    ensembles) or "predict" (no truth);  ct, pet, label, clicks, organs : paths of files or DICOM folders.
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
#: A row with its line number.
Row = tuple[int, dict[str, str]]


def read_cohort(
    path: str | Path,
    *,
    made_later: tuple[str, ...] = ("results/",),
    tell: Callable[[str], None] = warnings.warn,
) -> list[Study]:
    """Read and check a cohort table (tab-separated, UTF-8, a header line), in the order of its rows.

    made_later : beginnings of paths whose files the workflow itself makes; those need not exist yet.
    tell : is given a line about what is odd but no mistake: a patient in several spellings (see `patient_key`; its
    studies get one of them), a PET in several rows.

    Raises InputError that lists the mistakes of the table with their lines: missing, unknown or double columns; a case
    that is there twice; an unknown tracer or split; what a split needs (train: tracer and label, test: label); a
    patient in both train and test; files that are not there; paths with braces, which are wildcards to Snakemake;
    fields in quotes, with control characters or of more than MAX_FIELD_LENGTH characters.
    """
    path = Path(path)
    rows = _read_rows(path)
    pets, mistakes = {}, []
    for line, row in rows:
        found, pets[line] = _mistakes(row, made_later)
        mistakes += [f"line {line} ({_cut(row['case']) or 'no name'}): {what}" for what in found]
    mistakes += _mistakes_between(rows)
    if mistakes:
        more = f" (and {len(mistakes) - _LISTED} more)" if len(mistakes) > _LISTED else ""
        listed = " | ".join(_cut(mistake, 400) for mistake in mistakes[:_LISTED])
        raise InputError(listed + more, where=path, mend="correct these rows of the cohort table")
    spelling = one_spelling(row["patient"] for _, row in rows)
    for note in (*_spelling_notes(spelling), *_scan_notes(pets)):
        tell(f"{path}: {note}")
    slugs = make_slugs([row["case"] for _, row in rows])
    return [
        Study(slug=slug, **{**row, "patient": spelling[row["patient"]]})
        for slug, (_, row) in zip(slugs, rows, strict=True)
    ]


def patient_key(name: str) -> str:
    """What is equal for two spellings of one name: no space around it, one Unicode form (NFC), capitals ignored."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """{name: the spelling that stands for all names of its `patient_key`}: stripped, NFC, the first in sorted order."""
    key_of = {name: patient_key(name) for name in names}
    spelling: dict[str, str] = {}
    for name in sorted(unicodedata.normalize("NFC", name).strip() for name in key_of):
        spelling.setdefault(patient_key(name), name)
    return {name: spelling[key] for name, key in key_of.items()}


def _spelling_notes(spelling: dict[str, str]) -> list[str]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for name, one in spelling.items():
        spellings[one].append(name)
    several = {one: names for one, names in spellings.items() if len(names) > 1}
    if not several:
        return []
    one, names = next(iter(several.items()))
    return [
        f"{len(several)} patients are written in several ways (first: {', '.join(map(repr, names[:4]))}); each is "
        f"taken to be one patient, here {one!r}"
    ]


def _scan_notes(pets: dict[int, Hashable]) -> list[str]:
    """pets : {line: what is equal for two paths to one PET}."""
    rows_of: dict[Hashable, list[int]] = defaultdict(list)
    for line, pet in pets.items():
        rows_of[pet].append(line)
    several = [lines for lines in rows_of.values() if len(lines) > 1]
    if not several:
        return []
    some = ", ".join(map(str, several[0][:4])) + (", ..." if len(several[0]) > 4 else "")
    return [
        f"{len(several)} PETs are in several rows (first: lines {some}); scores are too good where a model was trained "
        "on a scan that it is tested on"
    ]


def _read_rows(path: Path) -> list[Row]:
    lines = [(number, line) for number, line in enumerate(_read_lines(path), start=1) if line.strip()]
    header = [name.strip() for name in lines[0][1].split("\t")] if lines else []
    missing = [name for name in REQUIRED if name not in header]
    unknown = [_cut(name) for name in header if name not in (*COLUMNS, *ADDED)]
    if missing or unknown:
        raise InputError(
            f"its header lacks {missing} and has unknown {unknown}",
            where=path,
            mend=f"name the columns {' '.join(COLUMNS)}, separated by tabs",
        )
    double = sorted({name for name in header if header.count(name) > 1})
    if double:
        raise InputError(f"has the columns {double} twice", where=path, mend="keep one of each")
    if not lines[1:]:
        raise InputError("has no studies", where=path, mend="add a row for each study")
    rows = []
    for number, line in lines[1:]:
        values = line.split("\t")
        if len(values) != len(header):
            raise InputError(
                f"line {number} has not as many fields as the header ({len(values)} and {len(header)})",
                where=path,
                mend="separate all fields by tabs",
            )
        row = dict.fromkeys(COLUMNS, "") | dict(zip(header, map(field_value, values), strict=True))
        rows.append((number, {name: row[name] for name in COLUMNS}))
    return rows


def _read_lines(path: Path) -> list[str]:
    """Lines of the table, whatever ends them."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError("is no file", where=path, mend="give the cohort table, a tab-separated text file")
        if found.st_size > MAX_TABLE_BYTES:
            raise InputError(
                f"holds {found.st_size / 2**20:.0f} MB, more than a cohort table can", where=path, mend="give the table"
            )
        return path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InputError(
            "no such cohort table", where=path, mend="write one with `clickpet cohort`, or set the config key cohort"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", where=path, mend="save it as tab-separated UTF-8") from error


def _mistakes(row: dict[str, str], made_later: tuple[str, ...]) -> tuple[list[str], Hashable]:
    """What is wrong with a row, and what is equal for two rows with one PET."""
    found = [what for name, value in row.items() if value for what in _field_mistakes(name, value)]
    found += [f"{name} is empty" for name in ("case", "patient", "ct", "pet") if not row[name].strip()]
    if row["tracer"] not in ("", *TRACERS):
        found.append(f"unknown tracer {_cut(row['tracer'])!r}, give {', '.join(TRACERS)} or nothing")
    if row["split"] not in SPLITS:
        found.append(f"unknown split {_cut(row['split'])!r}, give one of {', '.join(SPLITS)}")
    if row["split"] == "train" and not row["tracer"]:
        found.append("a train case needs its tracer")
    if row["split"] in ("train", "test") and not row["label"]:
        found.append(f"a {row['split']} case needs a label (all zero for a healthy study)")
    files = {name: _look_at(name, row[name], made_later) for name in FILES if row[name]}
    found += [mistake for mistake, _ in files.values() if mistake]
    return found, files["pet"][1] if "pet" in files else None


def _field_mistakes(name: str, value: str) -> list[str]:
    if len(value) > MAX_FIELD_LENGTH:
        return [f"{name} has {len(value)} characters, at most {MAX_FIELD_LENGTH} are read"]
    if CONTROL_CHARACTERS.search(value):
        return [f"{name} {_cut(value)!r} holds a control character"]
    if len(value) > 1 and value[0] == value[-1] == '"':
        return [f"{name} {_cut(value)} is in quotes; save the table without them, they would be part of the name"]
    if name in FILES and ("{" in value or "}" in value):
        return [f"{name} {_cut(value)!r} holds braces, which Snakemake takes for wildcards; rename that file or folder"]
    return []


def _look_at(name: str, file: str, made_later: tuple[str, ...]) -> tuple[str, Hashable]:
    """What is wrong with a file, or "", and what is equal for two paths to it."""
    if file.startswith(made_later):
        return "", os.path.normpath(file)
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return f"{name} {file!r} does not exist", None
    except (OSError, ValueError) as error:
        return f"{name} {_cut(file)!r} cannot be read ({getattr(error, 'strerror', None) or error})", None
    is_folder = stat.S_ISDIR(found.st_mode) and file.lower().rstrip("/").endswith(_IMAGE_SUFFIXES)
    mistake = f"{name} {file!r} is a folder called like a file; give the file in it" if is_folder else ""
    return mistake, (found.st_dev, found.st_ino)


def _mistakes_between(rows: list[Row]) -> list[str]:
    found = []
    seen: dict[str, Row] = {}
    split_of: dict[str, Row] = {}
    for line, row in rows:
        first, other = seen.setdefault(patient_key(row["case"]), (line, row))
        if first != line:
            found.append(f"line {line}: case {_cut(row['case'])!r} is in line {first} already{_as(other, row, 'case')}")
        if row["split"] in ("train", "test"):
            first, other = split_of.setdefault(patient_key(row["patient"]), (line, row))
            if other["split"] != row["split"]:
                patient = _cut(row["patient"])
                written = _as(other, row, "patient")
                found.append(f"line {line}: patient {patient!r} is in both train and test (line {first}{written})")
    return found


def _as(other: dict[str, str], row: dict[str, str], name: str) -> str:
    return "" if other[name] == row[name] else f", there written {_cut(other[name])!r}"


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def write_cohort(path: str | Path, studies: list[Study], fold_of: dict[str, int]) -> None:
    """Write `studies` with slug and fold (empty unless split is train), tab-separated, as `field_text` gives them."""
    from clickpet.files import write_text

    names = ["case", "slug", *COLUMNS[1:], "fold"]
    lines = ["\t".join(names)]
    for study in studies:
        values = {**study.as_dict(), "fold": str(fold_of.get(study.slug, ""))}
        lines.append("\t".join(field_text(values[name]) for name in names))
    write_text(path, "\n".join(lines) + "\n")
