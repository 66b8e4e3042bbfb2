"""The page: cells, references, escaping, pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from clickpet.report.embedding import Picture, embed_png, embed_scan
from clickpet.report.page import (
    DASH,
    MINUS,
    Cell,
    Definitions,
    Figure,
    Gallery,
    Listing,
    Section,
    StudyPictures,
    Table,
    Text,
    as_cell,
    estimate,
    number,
    render_page,
    study_cell,
    study_key,
)


def png(width=3, height=2):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "text", "sort"),
    [
        (None, DASH, None),
        (float("nan"), DASH, None),
        (True, "yes", None),
        (1234, "1,234", "1234"),
        (0.12345, "0.12", "0.12345"),
        (-0.001, "0.00", "-0.001"),
        (-1.5, f"{MINUS}1.50", "-1.5"),
        ("a name", "a name", None),
        (Cell("x", 3), "x", "3"),
    ],
)
def test_cells_show_and_sort(value, text, sort):
    assert (as_cell(value).text, as_cell(value).sort) == (text, sort)


def test_estimates_have_their_interval_where_there_is_one():
    assert estimate(0.5, 0.4, 0.6, 2).text == "0.50 (0.40 to 0.60)"
    assert estimate(0.5, float("nan"), 0.6, 2).text == "0.50"
    assert estimate(0.5, None, None, 3).text == "0.500"
    assert estimate(float("nan"), 0.4, 0.6).text == DASH
    assert number(1234.5678, 1, "ml").text == "1,234.6 ml"


def test_a_drawing_is_embedded_as_it_is():
    picture = embed_png(png(7, 5))
    assert (picture.width, picture.height) == (7, 5)
    assert base64.b64decode(picture.source.removeprefix("data:image/png;base64,")) == png(7, 5)
    with pytest.raises(ValueError, match="not a PNG"):
        embed_png(b"GIF89a" + bytes(20))


def test_a_scan_is_embedded_smaller_and_looks_the_same(tmp_path):
    rows, columns = np.mgrid[:120, :160]
    scan = (127 + 60 * np.sin(columns / 9) * np.cos(rows / 7)).astype(np.uint8)
    scan = np.clip(scan + np.random.default_rng(0).integers(-6, 7, scan.shape), 0, 255).astype(np.uint8)
    Image.fromarray(scan).save(tmp_path / "scan.png")
    picture = embed_scan(tmp_path / "scan.png")
    assert (picture.width, picture.height) == (160, 120)
    assert picture.size_bytes < (tmp_path / "scan.png").stat().st_size / 2
    with Image.open(io.BytesIO(base64.b64decode(picture.source.removeprefix("data:image/webp;base64,")))) as opened:
        error = np.abs(np.asarray(opened.convert("L"), float) - scan)
    assert error.mean() < 4


def page(*blocks, **options):
    return render_page(title="T", lead="lead", sections=[Section("one", "One", list(blocks))], **options)


def test_tables_and_figures_are_numbered_apart_and_referred_to():
    html = page(
        Text("See [[second]] and [[pic]]."),
        Table("first", "c", [("a", "text")], [["x"]]),
        Table("second", "c", [("a", "text")], [["y"]]),
        Figure("pic", "caption", png(), "what it shows"),
    )
    assert 'See <a href="#second">Table 2</a> and <a href="#pic">Figure 1</a>.' in html
    assert '<figure id="second" class="table short">' in html
    assert 'width="3" height="2" alt="what it shows"' in html


def test_data_is_never_markup():
    hard = '<script>alert("1")</script> & [[first]] [[nowhere]] {{ 7 * 7 }}'
    html = page(
        Text(hard),
        Definitions([(hard, hard)]),
        Listing(hard, hard),
        Table("first", hard, [(hard, "text")], [[hard]], note=hard),
        highlights=[(hard, hard, hard)],
    )
    assert "<script>alert" not in html
    assert html.count("<script>") == 1  # the page's own, for sorting
    assert "49" not in html
    assert "[[nowhere]]" in html
    assert '<td class="text">&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; [[first]]' in html


def test_a_study_is_a_link_only_where_its_pictures_are():
    rows = [[study_cell("with <pictures>", "a")], [study_cell("without", "b")]]
    study = StudyPictures(study_key("a"), "with <pictures>", "Dice 0.5", Picture("data:image/png;base64,", 3, 2))
    html = page(Table("t", "c", [("Study", "text")], rows), Gallery("g", "Studies", [study]))
    assert '<td class="text"><a href="#study-a">with &lt;pictures&gt;</a></td>' in html
    assert '<td class="text">without</td>' in html
    assert '<article class="picture" id="study-a">' in html


def test_what_to_look_for_stands_under_a_figure():
    html = page(Figure("pic", "caption", png(), "alt", "values <b>below</b> [[pic]]"), Figure("two", "c", png(), "alt"))
    assert 'Look for:</b> values &lt;b&gt;below&lt;/b&gt; <a href="#pic">Figure 1</a></span>' in html
    assert html.count("Look for:") == 1


def test_a_table_without_rows_says_so():
    html = page(Table("t", "c", [("a", "text"), ("b", "number")], [], empty="nothing was found"))
    assert '<td colspan="2">nothing was found</td>' in html
