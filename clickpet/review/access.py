"""Who may talk to the page's server: those who know its address with the token in it, from the page itself."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Largest body of a request: a scribble of 2000 points.
MOST_BYTES = 64 * 2**10
#: Sent with every answer: nothing from elsewhere is loaded or run, no other page may show this one, nothing is kept.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def new_token() -> str:
    """A random token, 192 bits."""
    return secrets.token_urlsafe(24)


class Access:
    """ASGI middleware: requests below /{token}/, of the host names that are served, from this origin, of small bodies.

    hosts : names with ports by which the server may be asked ("127.0.0.1:8080"): a page of another site whose name was
    pointed at this machine asks by that name. Whatever is refused is refused without saying what is there.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: set[str]):
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        scope = {**scope, "path": "/" + scope["path"].split("/", 2)[2]}
        await self.app(scope, self._limited(receive), self._with_headers(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        given = scope["path"].split("/", 2)[1:]
        if len(given) < 2 or not hmac.compare_digest(given[0].encode(), self.token.encode()):
            return PlainTextResponse("not found", 404)
        if headers.get("host", "") not in self.hosts:
            return PlainTextResponse("wrong host", 421)
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return PlainTextResponse("wrong origin", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return PlainTextResponse("too large", 413)
        if scope["method"] == "POST" and headers.get("content-type", "").split(";")[0] != "application/json":
            return PlainTextResponse("wants JSON", 415)  # which no form of another page can send
        return None

    @staticmethod
    def _limited(receive: Receive) -> Callable[[], Awaitable[Message]]:
        """Bodies that do not tell their length end where they get too large."""
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= MOST_BYTES else {"type": "http.disconnect"}

        return limited

    @staticmethod
    def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        return with_headers
