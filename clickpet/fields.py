"""Text fields of tables that others open: no control characters, nothing that a spreadsheet takes for a formula."""

from __future__ import annotations

import re

#: Control characters (C0, DEL, C1) and the line ends of Unicode.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: What spreadsheets compute: text that starts with one of these.
_FORMULA = re.compile(r"'*[=+\-@].", re.DOTALL)


def without_controls(text: str) -> str:
    """`text` with spaces for control characters (tabs, line ends, escape sequences of terminals)."""
    return _CONTROL.sub(" ", text)


def field_text(value: object) -> str:
    """`value` as the text of a field: without control characters; a formula is written behind an apostrophe, which
    spreadsheets take as "this is text" and `field_value` takes away again."""
    text = without_controls(str(value))
    return f"'{text}" if _FORMULA.match(text) else text


def field_value(text: str) -> str:
    """What `field_text` was given, but for control characters."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
