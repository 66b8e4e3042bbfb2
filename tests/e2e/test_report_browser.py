"""The report in a real browser without network: nothing fails, every picture is there, it prints."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest
from PIL import Image
from report_jobs import write_report
from results_maker import HARD_NAMES, make_results

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
#: Runs in the page once it is loaded and leaves what it saw as text in the document.
PROBE = """
<script>
window.failures = [];
addEventListener("error", event => window.failures.push(String(event.message || event.target.outerHTML)), true);
addEventListener("load", () => {
  const head = [...document.querySelectorAll("#scores-by-study thead th")].find(cell => cell.textContent === "Dice");
  const rows = () => [...document.querySelectorAll("#scores-by-study tbody tr")];
  const column = () => rows().map(row => row.cells[head.cellIndex].textContent);
  const before = column();
  head.click();
  const rising = column();
  head.click();
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = JSON.stringify({
    failures: window.failures,
    images: [...document.images].map(image => [image.complete, image.naturalWidth, image.naturalHeight]),
    width: document.documentElement.scrollWidth,
    before, rising, falling: column(),
    requests: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !/^data:/.test(name)),
  });
  document.body.append(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a Chromium browser")

    def run(*arguments):
        folder = tmp_path_factory.mktemp("profile")
        return subprocess.run(
            [found, *FLAGS, f"--user-data-dir={folder}", *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "HOME": str(folder)},
            check=True,
        )

    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report alone in a folder, as if it had been sent by mail."""
    alone = tmp_path_factory.mktemp("alone") / "report.html"
    made = make_results(tmp_path_factory.mktemp("run"))
    shutil.copyfile(write_report(made), alone)
    return alone


@pytest.fixture(scope="module")
def seen(browser, report):
    """What the page looks like from inside, at a width of 1280."""
    probe = report.with_name("probe.html")
    probe.write_text(report.read_text(encoding="utf-8").replace("</head>", PROBE + "</head>", 1), encoding="utf-8")
    done = browser("--window-size=1280,900", "--enable-logging=stderr", "--dump-dom", probe.as_uri())
    dom = done.stdout
    record = json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.S).group(1)))
    record["console"] = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    record["dom"] = dom
    return record


def test_nothing_fails_and_nothing_is_fetched(seen):
    assert seen["failures"] == []
    assert seen["console"] == []
    assert seen["requests"] == []


def test_every_picture_is_shown(seen, report):
    assert len(seen["images"]) == report.read_text(encoding="utf-8").count("<img ") == 11
    assert all(complete and width > 0 and height > 0 for complete, width, height in seen["images"])


def test_the_page_is_no_wider_than_the_window(seen):
    assert seen["width"] <= 1280


def test_tables_sort_by_numbers_with_the_missing_last(seen):
    def numbers(texts):
        return [float(text) for text in texts if text != "\N{EN DASH}"]

    missing = len(seen["before"]) - len(numbers(seen["before"]))
    assert missing == 4
    assert numbers(seen["rising"]) == sorted(numbers(seen["before"]))
    assert numbers(seen["falling"]) == sorted(numbers(seen["before"]), reverse=True)
    assert set(seen["rising"][-missing:]) == set(seen["falling"][-missing:]) == {"\N{EN DASH}"}


def test_hard_names_are_text_in_the_browser_too(seen):
    assert unescape(seen["dom"]).count(HARD_NAMES[1]) > 2
    assert "<b>bold</b>" not in seen["dom"]


def test_a_screenshot_of_a_small_window_is_no_blank_page(browser, report, tmp_path):
    width = 500
    picture = tmp_path / "shot.png"
    browser(f"--window-size={width},2400", f"--screenshot={picture}", report.as_uri())
    with Image.open(picture) as shot:
        assert shot.size == (width, 2400)
        histogram = shot.convert("L").histogram()
        assert sum(histogram[:100]) > 0.01 * shot.size[0] * shot.size[1]  # ink
        assert histogram[255] > 0.5 * shot.size[0] * shot.size[1]  # paper


def test_it_prints_with_what_was_folded(browser, report, tmp_path):
    paper = tmp_path / "report.pdf"
    browser("--no-pdf-header-footer", f"--print-to-pdf={paper}", report.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 8 <= pages <= 25
