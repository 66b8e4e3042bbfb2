"""A study's click file named in the cohort table: one cell changed, every other byte left as it is."""

from __future__ import annotations

import threading
from pathlib import Path

from clickpet.errors import InputError
from clickpet.fields import field_text, field_value
from clickpet.files import replacing

#: Where reviewed clicks lie: beside the cohort table.
FOLDER = "reviewed_clicks"
_editing = threading.Lock()


def set_clicks(table: str | Path, case: str, clicks: str) -> bool:
    """Write `clicks` (a path) into the column `clicks` of the row of `case`; the column is added where there is none.

    table : cohort table, tab-separated, UTF-8.  Returns False where the cell already says so: the table is not touched
    then. Raises InputError where the table has no such row (it may have been edited since the run), or cannot be read.
    """
    table = Path(table)
    with _editing:
        try:
            content = table.read_bytes()
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read ({error})", where=table, mend="save it as tab-separated UTF-8") from error
        changed = _with_cell(text, case, field_text(clicks), table)
        if changed == text:
            return False
        mark = content[:3] if content.startswith(b"\xef\xbb\xbf") else b""
        with replacing(table) as temporary:
            temporary.write_bytes(mark + changed.encode("utf-8"))
            temporary.chmod(table.stat().st_mode)
        return True


def _with_cell(text: str, case: str, value: str, table: Path) -> str:
    lines = text.split("\n")
    numbers = [number for number, line in enumerate(lines) if line.strip()]
    header = [name.strip() for name in lines[numbers[0]].split("\t")] if numbers else []
    if "case" not in header:
        raise InputError("has no column case", where=table, mend="give the cohort table of the run with --cohort")
    if "clicks" not in header:
        for number in numbers:
            body, end = _without_end(lines[number])
            lines[number] = f"{body}\t{'clicks' if number == numbers[0] else ''}{end}"
        header.append("clicks")
    rows = [number for number in numbers[1:] if _case_of(lines[number], header) == case]
    if len(rows) != 1:
        raise InputError(
            f"has {len(rows) or 'no'} rows of the study {case!r}",
            where=table,
            mend="give the cohort table of the run with --cohort",
        )
    body, end = _without_end(lines[rows[0]])
    fields = body.split("\t")
    fields[header.index("clicks")] = value
    lines[rows[0]] = "\t".join(fields) + end
    return "\n".join(lines)


def _without_end(line: str) -> tuple[str, str]:
    """A line and the carriage return that it ends with, if it does."""
    return (line[:-1], "\r") if line.endswith("\r") else (line, "")


def _case_of(line: str, header: list[str]) -> str | None:
    fields = _without_end(line)[0].split("\t")
    return field_value(fields[header.index("case")]) if len(fields) == len(header) else None
