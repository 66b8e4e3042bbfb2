"""Text fields of tables: formulas and control characters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickpet.fields import field_text, field_value, without_controls


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+49 30", "-2", "@SUM(A1)", "=cmd|' /C calc'!A0", "'=quoted already", "''-", '=HYPERLINK("http://x")'],
)
def test_no_field_starts_a_formula_and_all_come_back(text):
    written = field_text(text)
    assert not re.match("[=+\\-@].", written)
    assert field_value(written) == text


@pytest.mark.parametrize("text", ["", "-", "+", "fdg_a 1.x", "a=b", "p-1", "'quoted'", "'", "日本"])
def test_plain_text_is_left_alone(text):
    assert field_text(text) == text == field_value(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"])))
def test_what_was_written_is_read(text):
    assert field_value(field_text(text)) == text


@pytest.mark.parametrize("control", ["\t", "\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_control_characters_become_spaces(control):
    assert field_text(f"a{control}[31mb") == without_controls(f"a{control}[31mb") == "a [31mb"
    assert field_text(f"={control}1") == "'= 1"
