"""Who may talk to a server of clickpet: where it may listen, bearer tokens, host names, origins, sizes of bodies."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clickpet.errors import InputError

#: Shortest token that a server accepts where others may reach it.
SHORTEST_TOKEN = 16
#: Largest body of a request that nothing else is said about: JSON of a few points.
SMALL_BODY_BYTES = 64 * 2**10
#: Sent with every answer: nothing of a study is kept in between, nothing is taken for a page.
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def new_token() -> str:
    """A random token, 192 bits, that may stand in an address."""
    return secrets.token_urlsafe(24)


def same_token(given: str, token: str) -> bool:
    """Whether `given` is the token, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode(errors="surrogateescape"))


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, token: str | None) -> None:
    """InputError for an address that other machines reach without a token, or with one that can be guessed."""
    if not host:
        raise InputError("is no address", where="--host ''", mend="give 127.0.0.1, or 0.0.0.0 for every network")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("the token has spaces or letters that no header holds", mend="take letters and digits")
    if is_loopback(host):
        return
    if not token:
        raise InputError(
            "would let everyone on the network see the study",
            where=f"--host {host}",
            mend=f"give a --token as well, such as {new_token()}, or leave --host out",
        )
    if len(token) < SHORTEST_TOKEN:
        raise InputError(
            f"the token has {len(token)} letters, less than {SHORTEST_TOKEN}, and can be guessed",
            where=f"--host {host}",
            mend=f"give a longer one, such as {new_token()}",
        )


def host_names(host: str, others: Collection[str] = ()) -> set[str]:
    """Names, without ports and in small letters, by which a server bound to `host` may be asked.

    others : further names, such as that of a proxy in front. A page of another site whose name was pointed at this
    machine (DNS rebinding) asks by its own name, which is none of these.
    """
    names = {"127.0.0.1", "::1", "localhost"} | set(others)
    if not is_loopback(host):
        names |= {host, socket.gethostname(), socket.getfqdn()}
        if host in ("0.0.0.0", "::"):
            with suppress(OSError):  # a machine that does not know its own name is asked by one of `others`
                names |= {found[4][0].split("%")[0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    return {name.lower().rstrip(".") for name in names}


class Gate:
    """ASGI middleware, outermost: lets in what has the token, asks by a known name and is not too large.

    token : bearer token (None: none is asked for);  names : see `host_names`;  body_limit : bytes that a body of a
    path may have;  tell : is given a line where a request failed by a fault of the program: type and place, no values.

    Refusals are JSON, {"detail": text}, and say nothing of what is behind. Any port of a name will do, as tunnels have
    others. An Origin, which browsers send, must be one of the names, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Collection[str],
        token: str | None = None,
        body_limit: Callable[[str], int] = lambda path: SMALL_BODY_BYTES,
        tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ):
        self.app, self.names, self.token, self.body_limit, self.tell = app, frozenset(names), token, body_limit, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        exchange = _Exchange(receive, _with_headers(send), self.body_limit(scope["path"]))
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BodyTooLargeError:
            pass
        except Exception as error:
            self.tell(_place_of(error))
        if not exchange.begun:
            too_large = exchange.left < 0
            answer = _refuse(413, "the body is too large") if too_large else _refuse(500, "the server failed")
            await answer(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if _name_in(headers.get("host", "")) not in self.names:
            return _refuse(421, "the server is not called so; see clickpet serve --help, --name")
        origin = headers.get("origin")
        if origin is not None and (urlsplit(origin).hostname or "") not in self.names:
            return _refuse(403, "pages of other sites may not use this server")
        if self.token is not None and not same_token(_bearer(headers), self.token):
            return _refuse(401, "the token is missing or wrong", {"www-authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > self.body_limit(scope["path"]):
            return _refuse(413, "the body is too large")
        return None


class BodyTooLargeError(Exception):
    """A body without a length turned out too large while it was read."""


class _Exchange:
    """A request's body up to `left` bytes, and whether its answer has begun, after which no other can be given.

    What the application answers to a body that turned out too large is dropped.
    """

    def __init__(self, receive: Receive, send: Send, left: int):
        self._receive, self._send, self.left, self.begun = receive, send, left, False

    async def receive(self) -> Message:
        message = await self._receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        if self.left >= 0 or self.begun:
            self.begun = True
            await self._send(message)


def _with_headers(send: Send) -> Send:
    own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return with_headers


def _refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _bearer(headers: Headers) -> str:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _place_of(error: BaseException) -> str:
    """Type of an error and the lines that led to it; its text may hold values of a study."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"serve: a request failed: {type(error).__name__} at {places}"
