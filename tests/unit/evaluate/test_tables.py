"""Tables as files: what is written is read again, and harms no spreadsheet."""

import csv

import numpy as np
import pandas as pd
import pytest
from score_records import records

from clickpet.evaluate.summary import score_table
from clickpet.evaluate.tables import read_table, write_table


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_written_tables_are_read_again(tmp_path, suffix):
    table = score_table(records())
    table["case"] = 'quote " and, comma'
    write_table(tmp_path / f"a.{suffix}", table)
    again = read_table(tmp_path / f"a.{suffix}")
    pd.testing.assert_frame_equal(again, table, rtol=1e-5, check_dtype=False)
    text = (tmp_path / f"a.{suffix}").read_text()
    write_table(tmp_path / f"b.{suffix}", again)
    assert (tmp_path / f"b.{suffix}").read_text() == text


def test_numbers_and_missing_values_as_text(tmp_path):
    table = pd.DataFrame({"case": ["a\tb\nc", ""], "n": [1, 20], "x": [1 / 3, np.nan], "y": [1234567.0, 1e-9]})
    write_table(tmp_path / "t.tsv", table)
    assert (tmp_path / "t.tsv").read_text() == "case\tn\tx\ty\na b c\t1\t0.333333\t1.23457e+06\n\t20\tnan\t1e-09\n"
    write_table(tmp_path / "t.tsv", table[:0])
    assert (tmp_path / "t.tsv").read_text() == "case\tn\tx\ty\n"


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_tables_hold_no_formulas_and_no_control_characters(tmp_path, suffix):
    names = ["=1+1", "+x", "-2", "@a", "'=b", "plain", "a\x1b[31mb", "\x00c", "-", "<b>", "$$"]
    table = pd.DataFrame({"case": names, "centre": "=C1", "n": range(-5, 6), "dice": np.linspace(-1, 1, 11)})
    write_table(tmp_path / f"t.{suffix}", table)
    text = (tmp_path / f"t.{suffix}").read_text()
    assert not any(ord(character) < 32 and character not in "\n\t" for character in text)
    for line in text.splitlines()[1:]:
        fields = next(csv.reader([line], delimiter="," if suffix == "csv" else "\t"))
        assert fields[1] == "'=C1"
        assert fields[0][:1] not in ("=", "+", "@") or len(fields[0]) == 1
    again = read_table(tmp_path / f"t.{suffix}")
    assert again["case"].tolist() == [*names[:6], "a [31mb", " c", *names[8:]]
    assert again["n"].tolist() == list(range(-5, 6))  # negative numbers are numbers
    assert again["dice"].tolist() == pytest.approx(table["dice"].tolist(), rel=1e-5)
