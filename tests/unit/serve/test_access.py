"""Only who has the token, asks by a known name and sends small bodies reaches the server behind the gate."""

import asyncio
import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clickpet.errors import InputError
from clickpet.serve.access import HEADERS, Gate, check_binding, host_names, is_loopback, new_token, same_token

TOKEN = "a-token-of-sixteen-letters"


async def length(request: Request):
    return PlainTextResponse(str(len(await request.body())))


async def fault(request: Request):
    raise RuntimeError("secret value 4.2")


def ask(path="/length", *, method="POST", headers=None, content=b"", told=None, **options):
    """Answer of a small application behind a gate that is called localhost."""
    app = Starlette(
        routes=[Route("/length", length, methods=["GET", "POST"]), Route("/fault", fault, methods=["POST"])]
    )
    options = {"names": {"localhost", "::1"}, "token": TOKEN, "body_limit": lambda path: 100, **options}
    gate = Gate(app, tell=(told if told is not None else []).append, **options)
    given = {"host": "localhost:1527", "authorization": f"Bearer {TOKEN}", **(headers or {})}
    given = {name: value for name, value in given.items() if value is not None}

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://x") as client:
            return await client.request(method, path, headers=given, content=content)

    return asyncio.run(send())


def test_a_right_request_passes():
    answer = ask(content=b"x" * 100)
    assert (answer.status_code, answer.text) == (200, "100")
    assert HEADERS.items() <= dict(answer.headers).items()
    assert ask(headers={"authorization": None}, token=None).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN],
)
def test_without_the_token_nothing_passes(authorization):
    for path in ("/length", "/nothing"):
        answer = ask(path, headers={"authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "LOCALHOST:1527", "localhost.:1527", "[::1]:1527"])
def test_names_of_the_server_pass_with_any_port(host):
    assert ask(headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:1527", "localhost.evil.example", "localhost@evil.example", "[::1", "[]:1"],
)
def test_other_names_are_refused(host):
    assert ask(headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:1527", 200),
        ("https://localhost", 200),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_are_refused(origin, status):
    assert ask(headers={"origin": origin}).status_code == status


def test_large_bodies_are_refused_by_their_length_and_while_they_come():
    async def pieces(count):
        for _ in range(count):
            yield b"x" * 10

    assert ask(content=b"x" * 101).status_code == 413
    assert ask(content=pieces(10)).text == "100"
    assert ask(content=pieces(11)).status_code == 413
    for length in ("-1", "1e3", "x", "٣"):
        assert ask(headers={"content-length": length.encode()}).status_code == 413


def test_a_fault_is_told_by_type_and_place_without_its_text():
    told = []
    answer = ask("/fault", told=told)
    assert answer.status_code == 500
    assert "secret" not in answer.text + "".join(told)
    assert re.fullmatch(r"serve: a request failed: RuntimeError at test_access\.py:\d+ < .*", told[0])


def test_tokens_are_told_apart():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 32
    assert same_token("a", "a")
    assert not same_token("a", "b")
    assert not same_token("", "b")
    assert not same_token("ä\udc80", "b")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    check_binding(host, None)
    check_binding(host, "short")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gpu-box.lab", "localhost.lab"])
def test_other_addresses_need_a_token_that_cannot_be_guessed(host):
    assert not is_loopback(host)
    for token in (None, "", "x" * 15):
        with pytest.raises(InputError, match="token"):
            check_binding(host, token)
    check_binding(host, "x" * 16)


@pytest.mark.parametrize(("host", "token"), [("", "x" * 20), ("127.0.0.1", "a b"), ("127.0.0.1", "ä" * 20)])
def test_addresses_and_tokens_that_are_none_are_refused(host, token):
    with pytest.raises(InputError):
        check_binding(host, token)


def test_names_of_a_server():
    local = {"127.0.0.1", "::1", "localhost"}
    assert host_names("127.0.0.1") == local
    assert host_names("localhost", ["Proxy.Lab."]) == local | {"proxy.lab"}
    assert local | {"10.0.0.7"} < host_names("10.0.0.7")
