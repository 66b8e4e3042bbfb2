"""Who gets an answer: those with the token, by the right name, from the page itself."""

import pytest
from starlette.testclient import TestClient

from clickpet.review.access import HEADERS
from clickpet.review.desk import Desk
from clickpet.review.page_server import FILES, make_app
from clickpet.serve.access import SMALL_BODY_BYTES, Gate

HOST = "127.0.0.1:8000"


@pytest.fixture(scope="module")
def app():
    return Gate(make_app(Desk([]), token="right"), names={"127.0.0.1", "localhost"})


@pytest.fixture(scope="module")
def ask(app):
    with TestClient(app, base_url=f"http://{HOST}") as client:
        yield client.request


@pytest.mark.parametrize(
    "path", ["/", "/api/studies", "/wrong/", "/righ/api/studies", "/right", "/rightt/", "//right/"]
)
def test_without_the_token_nothing_is_there(ask, path):
    answer = ask("GET", path)
    assert (answer.status_code, answer.text) == (404, "not found")


def test_with_the_token_the_page_and_the_list_are_there(ask):
    assert "<title>clickpet review</title>" in ask("GET", "/right/").text
    assert ask("GET", "/right/api/studies").json() == []


@pytest.mark.parametrize(
    ("host", "status"), [(HOST, 200), ("localhost:8000", 200), ("evil.example:8000", 421), ("", 421)]
)
def test_only_its_own_names_are_answered(ask, host, status):
    assert ask("GET", "/right/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [(f"http://{HOST}", 404), ("http://localhost:8000", 404), ("null", 403),
     ("http://evil.example", 403), ("http://127.0.0.1.evil.example:8000", 403)],
)  # fmt: skip
def test_only_its_own_pages_may_ask(ask, origin, status):
    """404: past the check, to a study that is not there."""
    answer = ask("POST", "/right/api/finish", headers={"origin": origin}, json={})
    assert answer.status_code == status


def test_a_form_of_another_page_cannot_post(ask):
    assert ask("POST", "/right/api/finish", data={"a": "b"}).status_code == 415
    assert ask("POST", "/right/api/finish", headers={"content-type": "text/plain"}, content="{}").status_code == 415


def test_large_bodies_are_refused_told_or_not(ask):
    long = b"[" + b" " * SMALL_BODY_BYTES + b"]"
    json_type = {"content-type": "application/json"}
    path = "/right/api/studies/0/interactions"
    assert ask("POST", path, content=long, headers=json_type).status_code == 413
    pieces = iter([long[: SMALL_BODY_BYTES // 2]] * 4)
    assert ask("POST", path, content=pieces, headers=json_type).status_code == 413


def test_every_answer_forbids_what_comes_from_elsewhere(ask):
    for path in ("/right/", "/right/api/studies", "/right/review.js", "/right/none"):
        headers = ask("GET", path).headers
        for name, value in HEADERS.items():
            assert headers[name] == value
    assert "default-src 'none'" in HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    "name", ["page_server.py", "../access.py", "..%2faccess.py", "niivue.umd.js", "api", "docs", "openapi.json"]
)
def test_nothing_but_the_pages_own_files_is_served(ask, name):
    assert ask("GET", f"/right/{name}").status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_the_pages_files_name_no_address_elsewhere(ask, name):
    answer = ask("GET", f"/right/{name}")
    assert answer.status_code == 200
    if name != "niivue.js":
        assert "http://" not in answer.text
        assert "https://" not in answer.text
