"""Tables of scores and lesions as tab- or comma-separated files."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from clickpet.fields import field_text, field_value
from clickpet.files import write_text

#: Columns that name a study.
LABELS = ("case", "slug", "tracer", "tracer_found", "patient", "centre", "split", "fold")
#: Columns that are names, whatever they look like ("001" is no number, "NA" is a name).
TEXT_COLUMNS = (*LABELS, "group", "level")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write `table` as comma-separated (.csv) or tab-separated (any other suffix) text, whole or not at all.

    Six significant digits; NaN is "nan", empty text is empty. Text is written as `clickpet.fields.field_text` says.
    Tab-separated fields are not quoted.
    """
    table = table.map(lambda value: field_text(value) if isinstance(value, str) else value)
    if Path(path).suffix == ".csv":
        text = table.to_csv(index=False, float_format="%.6g", na_rep="nan", lineterminator="\n")
    else:
        lines = ["\t".join(table.columns)]
        columns = [_as_text(table[name]) for name in table.columns]
        lines += ["\t".join(row) for row in zip(*columns, strict=True)]
        text = "\n".join(lines) + "\n"
    write_text(path, text)


def _as_text(column: pd.Series) -> list[str]:
    return [f"{value:.6g}" if pd.api.types.is_float_dtype(column) else str(value) for value in column]


def read_table(path: str | Path) -> pd.DataFrame:
    """A tab- or comma-separated table with a header; names stay text, empty names stay empty, numbers are numbers.

    Text as `write_table` writes it. An empty file gives an empty frame.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        return pd.DataFrame()
    separator = "," if path.suffix == ".csv" else "\t"
    header = pd.read_csv(path, sep=separator, nrows=0, quoting=_quoting(separator))
    text = {name: str for name in header.columns if name in TEXT_COLUMNS}
    missing = {name: [] if name in text else ["", "NA", "nan", "NaN", "null"] for name in header.columns}
    table = pd.read_csv(
        path, sep=separator, dtype=text, keep_default_na=False, na_values=missing, quoting=_quoting(separator)
    )
    return table.assign(**{name: table[name].map(field_value) for name in text})


def read_table_if_any(path: str | Path | None) -> pd.DataFrame:
    """`read_table`, or an empty frame where there is no path."""
    return read_table(path) if path else pd.DataFrame()


def _quoting(separator: str) -> int:
    return csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
