"""The report in a real browser without network, as wide as a desk's screen, as a phone and on paper."""

import re

import numpy as np
import pytest
from browser import Browser
from PIL import Image
from report_jobs import CASE_PICTURES, write_report
from results_maker import HARD_NAMES, make_results

DASH = "\N{EN DASH}"
DESK, PHONE = (1280, 900), (390, 844)
#: The whole autoPET cohort, and what its page may cost.
STUDIES, MAX_BYTES, MAX_CPU_S = 1611, 30_000_000, 3
#: Rows of a table that are shown, as texts of their cells.
ROWS = (
    "[...document.querySelectorAll('#{} tbody tr')].filter(row => !row.hidden)"
    ".map(row => [...row.cells].map(cell => cell.textContent))"
)
DICE = 6


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report alone in a folder, as if it had been sent by mail."""
    alone = tmp_path_factory.mktemp("alone") / "report.html"
    made = make_results(tmp_path_factory.mktemp("run"), splits=("train", "train", "test", "predict"))
    alone.write_bytes(write_report(made).read_bytes())
    return alone


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, report):
    """The report in a window of a desk's screen."""
    browser.failures.clear()
    browser.open(report.as_uri(), width=DESK[0], height=DESK[1])
    browser.value("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    return browser


def rows(page, table="scores-by-study"):
    return page.value(ROWS.format(table))


def press(page, selector):
    page.value(f"document.querySelector({selector!r}).click()")


def test_nothing_fails_and_nothing_is_fetched(page, report):
    assert page.failures == []
    assert {address for address in page.requests if not address.startswith("data:")} == {report.as_uri()}


def test_every_picture_is_shown(page, report):
    images = page.value(
        "Promise.all([...document.images].map(i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])))"
    )
    assert len(images) == report.read_text(encoding="utf-8").count("<img ")
    assert all(width > 0 and height > 0 for width, height in images)


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_page_is_no_wider_than_the_window(page, report, size):
    page.open(report.as_uri(), width=size[0], height=size[1])
    assert page.value("document.documentElement.scrollWidth") <= size[0]
    edges = page.value(
        "[...document.querySelectorAll('figcaption, p, dd, h2')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= size[0]


def test_tables_sort_by_numbers_with_the_missing_last(page):
    def column():
        return [row[DICE] for row in rows(page)]

    def numbers(texts):
        return [float(text) for text in texts if text != DASH]

    before = column()
    press(page, f"#scores-by-study thead th:nth-child({DICE + 1})")
    rising = column()
    press(page, f"#scores-by-study thead th:nth-child({DICE + 1})")
    falling = column()
    missing = before.count(DASH)
    assert missing > 0
    assert numbers(rising) == sorted(numbers(before))
    assert numbers(falling) == sorted(numbers(before), reverse=True)
    assert rising[-missing:] == falling[-missing:] == [DASH] * missing


def filter_rows(page, words):
    page.value(
        f"(field => {{ field.value = {words!r}; field.dispatchEvent(new Event('input')); }})"
        "(document.querySelector('#scores-by-study input'))"
    )


def test_tables_filter_by_all_words_and_count_what_is_left(page):
    everything = rows(page)
    filter_rows(page, "PSMA  test")
    shown = rows(page)
    assert 0 < len(shown) < len(everything)
    assert shown == [row for row in everything if "psma" in str(row).lower() and "test" in str(row).lower()]
    assert page.text("#scores-by-study [role=status]") == f"{len(shown)} of {len(everything)} rows"
    filter_rows(page, "")
    assert rows(page) == everything


def saved(page, table):
    """What the button of a table saves, as lines of fields, without saving it."""
    return page.value(
        "(async () => { let blob;"
        "const make = URL.createObjectURL, click = HTMLAnchorElement.prototype.click;"
        "URL.createObjectURL = given => { blob = given; return 'data:,'; };"
        "HTMLAnchorElement.prototype.click = () => {};"
        f"document.querySelector('#{table} button.save').click();"
        "URL.createObjectURL = make; HTMLAnchorElement.prototype.click = click;"
        "return (await blob.text()).trimEnd().split('\\n').map(line => line.split('\\t')); })()"
    )


def test_a_table_is_saved_as_shown_with_numbers_in_full(page):
    filter_rows(page, "fdg")
    head, *lines = saved(page, "scores-by-study")
    shown = rows(page)
    assert head[0] == "Study"
    assert [line[0] for line in lines] == [" ".join(row[0].split()) for row in shown]
    for line, row in zip(lines, shown, strict=True):
        assert line[DICE] == "" if row[DICE] == DASH else abs(float(line[DICE]) - float(row[DICE])) <= 0.0005
    assert any(len(line[DICE]) > 5 for line in lines)


def test_a_study_opens_from_its_row_and_one_goes_through_them(page):
    press(page, "#scores-by-study tbody a")
    page.wait("document.querySelector('dialog').open")
    name = page.value("document.querySelector('#scores-by-study tbody a').textContent")
    assert page.text("dialog h3") == name
    assert page.value("[...document.querySelectorAll('dialog img')].length") == 3
    assert page.value("document.querySelector('dialog .slices img').getBoundingClientRect().width") > 100
    place = page.text("dialog .pager span")
    press(page, "dialog .pager button:nth-child(2)" if place.startswith("1 ") else "dialog .pager button")
    page.wait(f"document.querySelector('dialog .pager span').textContent !== {place!r}")
    assert page.text("dialog h3") != name
    page.key("Escape")
    page.wait("!document.querySelector('dialog').open && !location.href.includes('#')")


def test_the_turning_projection_shows_its_views_and_then_their_mirror_images(page):
    press(page, "article.picture a")
    page.wait("document.querySelector('dialog').open")
    look = (
        "(angle => { const range = document.querySelector('dialog .turn input'); range.value = angle;"
        "range.dispatchEvent(new Event('input')); const pane = document.querySelector('dialog .window');"
        "return [pane.querySelector('img').style.transform, pane.classList.contains('mirrored')]; })"
    )
    assert page.value("document.querySelector('dialog .turn input').max") == "23"
    assert page.value(f"{look}(3)") == ["translateX(-25%)", False]
    assert page.value(f"{look}(15)") == ["translateX(-25%)", True]
    assert page.text("dialog .turn button") == "Turn"  # it stops when one turns it by hand


def test_an_address_with_a_study_opens_it(page, report):
    key = page.value("document.querySelectorAll('article.picture')[1].id")
    page.open(f"{report.as_uri()}#{key}")
    assert page.value("document.querySelector('dialog').open")
    assert page.text("dialog .pager span").startswith("2 of ")


def test_hard_names_are_text_in_the_browser_too(page):
    shown = {row[0] for row in rows(page)}
    assert set(HARD_NAMES) <= shown
    assert page.value("document.querySelectorAll('b').length") == page.value(
        "[...document.querySelectorAll('b')].filter(b => b.textContent !== 'bold').length"
    )


def test_a_phone_shows_ink_on_paper(page, report, tmp_path):
    page.open(report.as_uri(), width=PHONE[0], height=PHONE[1])
    page.value("document.querySelector('#scores').scrollIntoView()")
    with Image.open(page.picture(tmp_path / "shot.png")) as shot:
        assert shot.size == PHONE
        histogram = shot.convert("L").histogram()
    assert sum(histogram[:100]) > 0.01 * PHONE[0] * PHONE[1]  # ink
    assert histogram[255] > 0.5 * PHONE[0] * PHONE[1]  # paper


def test_it_prints_with_what_was_folded(browser, report, tmp_path):
    browser.open(report.as_uri(), width=DESK[0], height=DESK[1])
    content = browser.print_page(tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert 8 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 25


@pytest.mark.slow
def test_the_whole_cohort_is_small_and_opens_quickly(browser, tmp_path):
    """Made-up scores and pictures as large and as rough as real ones; time of the page's own thread on a CPU."""
    made = make_results(tmp_path, splits=("train", "train", "test"), studies=-(-STUDIES // 2))
    rng = np.random.default_rng(0)
    for name, (height, width) in zip(CASE_PICTURES.values(), ((704, 616), (326, 2088), (1100, 1012)), strict=True):
        rough = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8)).resize((width, height))
        rough.save(tmp_path / name)
        for slug in made.cases:
            (made.path("results", "cases", slug) / name).hardlink_to(tmp_path / name)
    report = write_report(made, worst_cases=40)
    assert len(made.cases) >= STUDIES
    assert 2_000_000 < report.stat().st_size < MAX_BYTES
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open(report.as_uri(), width=DESK[0], height=DESK[1])
    spent = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
    assert spent["TaskDuration"] < MAX_CPU_S
    assert len(rows(browser)) == len(made.cases)
    assert browser.value("document.querySelectorAll('article.picture').length") >= 10
