"""The cell of a study's clicks in the cohort table."""

import pytest

from clickpet.cohort import read_cohort
from clickpet.errors import InputError
from clickpet.review.cohort_clicks import set_clicks

TABLE = "case\tpatient\tsplit\tct\tpet\tclicks\n'=a\tp1\tpredict\tct\tpet\told.json\nb  1\tp2\tpredict\tct\tpet\t\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cases.tsv"
    path.write_text(TABLE)
    return path


def test_only_the_cell_changes(table):
    assert set_clicks(table, "b  1", "new folder/b.json")
    assert table.read_text() == TABLE.replace("pet\t\n", "pet\tnew folder/b.json\n")


def test_a_name_behind_an_apostrophe_is_found_and_its_clicks_replaced(table):
    assert set_clicks(table, "=a", "n.json")
    assert table.read_text() == TABLE.replace("old.json", "n.json")


def test_the_same_again_does_not_touch_the_table(table):
    times = table.stat().st_mtime_ns
    assert not set_clicks(table, "=a", "old.json")
    assert table.stat().st_mtime_ns == times


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_byte_order_mark_and_blank_lines_stay(table, mark):
    windows = mark + TABLE.replace("\n", "\r\n").encode() + b"\r\n"
    table.write_bytes(windows)
    set_clicks(table, "b  1", "n.json")
    assert table.read_bytes() == windows.replace(b"pet\t\r", b"pet\tn.json\r")


def test_a_missing_column_is_added(tmp_path):
    path = tmp_path / "cases.tsv"
    path.write_text("case\tpatient\tsplit\tct\tpet\na\tp\tpredict\tct\tpet\nb\tq\tpredict\tct\tpet")
    for name in ("ct", "pet", "b.json"):
        (tmp_path / name).touch()
    set_clicks(path, "b", "b.json")
    assert path.read_text() == (
        "case\tpatient\tsplit\tct\tpet\tclicks\na\tp\tpredict\tct\tpet\t\nb\tq\tpredict\tct\tpet\tb.json"
    )


def test_the_table_can_be_read_afterwards(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ct", "pet", "old.json", "n.json"):
        (tmp_path / name).touch()
    set_clicks(table, "b  1", "n.json")
    assert [study.clicks for study in read_cohort(table, tell=lambda line: None)] == ["old.json", "n.json"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (TABLE + TABLE.splitlines()[2] + "\n", "has 2 rows"),
        (TABLE.replace("b  1", "c"), "has no rows"),
        ("name\nb  1\n", "has no column case"),
        ("", "has no column case"),
    ],
)
def test_a_table_that_does_not_fit_is_left_as_it_is(table, text, line):
    table.write_text(text)
    with pytest.raises(InputError, match=line):
        set_clicks(table, "b  1", "n.json")
    assert table.read_text() == text


def test_a_table_that_is_not_there_is_a_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        set_clicks(tmp_path / "none.tsv", "a", "n.json")
