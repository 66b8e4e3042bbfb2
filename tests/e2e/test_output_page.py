"""docs/output.md and a finished run: every file and every column of a table is named, and what is named is there."""

import pytest
from output_page import PAGE, missing_files, unnamed_columns, unnamed_files

pytestmark = pytest.mark.slow


def test_the_page_names_every_file_of_a_finished_run(chain_run):
    assert unnamed_files(chain_run.folder / "results", PAGE.read_text(encoding="utf-8")) == []


def test_what_the_page_names_is_there(chain_run):
    assert missing_files(chain_run.folder / "results", PAGE.read_text(encoding="utf-8")) == []


def test_the_page_names_every_column(chain_run):
    assert unnamed_columns(chain_run.folder / "results", PAGE.read_text(encoding="utf-8")) == {}
