"""How docs/output.md is read: patterns, rows of some runs only, columns."""

import pytest
from output_page import PAGE, NamedFile, missing_files, named_columns, named_files, unnamed_columns, unnamed_files

TEXT = """# Output

## A case: `cases/{case}/`

| file | what | unit |
|---|---|---|
| `ct.nii.gz` | CT | HU |
| `interactive/clicks_{k}/` | masks; only with clicks | |

## The cohort

| file | what |
|---|---|
| `scores.tsv` | a row a case |
| `figures/*.png`, `figures/*.svg` | figures |

## Columns

| table | columns |
|---|---|
| `scores.tsv` | `case`; `{metric}_mean` of `dice` |

## Definitions

| column | what |
|---|---|
| `lesion` | 1, 2 |

"""


@pytest.fixture
def results(tmp_path):
    for path in ("cases/a/ct.nii.gz", "figures/x.png", "figures/x.svg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "scores.tsv").write_text("case\tdice_mean\n")
    return tmp_path


def test_a_folder_as_the_page_says(results):
    assert unnamed_files(results, TEXT) == missing_files(results, TEXT) == []
    assert unnamed_columns(results, TEXT) == {}


def test_what_is_not_named_and_what_is_not_there(results):
    (results / "cases" / "a" / "stray.json").touch()
    (results / "cases" / "a" / "interactive" / "clicks_3").mkdir(parents=True)
    (results / "cases" / "a" / "interactive" / "clicks_3" / "lesions.nii.gz").touch()
    (results / "scores.tsv").write_text("case\tslug\tdice_low\n")
    (results / "figures" / "x.svg").unlink()
    assert unnamed_files(results, TEXT) == ["cases/a/stray.json"]
    assert missing_files(results, TEXT) == ["figures/*.svg"]
    assert unnamed_columns(results, TEXT) == {"scores.tsv": {"slug", "dice_low"}}


def test_patterns_stay_in_their_folder():
    one = NamedFile("cases/{case}/ct.nii.gz", always=True)
    assert one.matches("cases/a.b-c/ct.nii.gz")
    assert not one.matches("cases/a/b/ct.nii.gz")
    assert not one.matches("cases/a/ctxnii.gz")
    assert not NamedFile("figures/*.png", always=True).matches("figures/a/b.png")


def test_our_own_page_is_read():
    text = PAGE.read_text(encoding="utf-8")
    named = {one.pattern: one.always for one in named_files(text)}
    assert named["cases/{case}/lesion_slices.png"]
    assert not named["cases/{case}/interactive/clicks_{k}/"]
    assert named["models/{tracer}/plans.json"]
    assert {"suv_peak", "z_mm"} <= named_columns(text)["lesion_table.csv"]
