"""The page's files: NiiVue as it was published, and every element that the script asks for."""

import hashlib
import re

from clickpet.review.page_server import FILES, PAGE


def test_niivue_is_the_file_that_its_record_names():
    recorded = re.search(r"SHA-256 \| `([0-9a-f]{64})`", (PAGE / "NIIVUE.md").read_text())[1]
    assert hashlib.sha256((PAGE / "niivue.umd.js").read_bytes()).hexdigest() == recorded


def test_nothing_lies_there_that_is_not_served_or_said():
    assert {path.name for path in PAGE.iterdir()} == {*FILES.values(), "NIIVUE.md"}


def test_every_element_that_the_script_names_is_in_the_page():
    page, script = (PAGE / "index.html").read_text(), (PAGE / "review.js").read_text()
    asked = set(re.findall(r'\$\("(\w+)"\)', script))
    assert len(asked) > 20
    assert asked <= set(re.findall(r'id="(\w+)"', page))


def test_every_key_of_the_script_is_listed_on_the_page():
    page, script = (PAGE / "index.html").read_text(), (PAGE / "review.js").read_text()
    keys = set(re.findall(r"^  (\w): ", script[script.index("const KEYS") :], re.MULTILINE)) | {"t", "b"}
    keys |= set(re.findall(r"(?<=[ ,])(\w): \(?", script[script.index("const KEYS") : script.index("ArrowLeft")]))
    listed = re.search(r"<dl>(.*?)</dl>", page, re.DOTALL)[1].upper()
    for key in keys:
        assert re.search(rf"\b{key.upper()}\b", listed), key


def test_buttons_and_fields_have_names():
    page = (PAGE / "index.html").read_text()
    for field in re.findall(r"<input[^>]*type=\"range\"[^>]*>", page):
        inside = re.search(r"<label[^>]*>(?:(?!</label>).)*" + re.escape(field), page, re.DOTALL)
        assert "aria-label" in field or inside, field
