"""The token in the page's address, and what its answers forbid; the rest is `clickpet.serve.access`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clickpet.serve.access import same_token

#: Sent with every answer: nothing from elsewhere is loaded or run, and no other page may show this one.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
}


class TokenPath:
    """ASGI middleware: passes on what is asked below /{token}/, without that part; anything else is not there."""

    def __init__(self, app: ASGIApp, *, token: str):
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _, given, rest = [*scope["path"].split("/", 2), "", ""][:3]
        if not same_token(given, self.token) or not scope["path"].startswith(f"/{given}/"):
            await PlainTextResponse("not found", 404)(scope, receive, _with_headers(send))
        elif scope["method"] == "POST" and not _is_json(scope):
            await PlainTextResponse("wants JSON", 415)(scope, receive, _with_headers(send))
        else:
            await self.app({**scope, "path": f"/{rest}"}, receive, _with_headers(send))


def _is_json(scope: Scope) -> bool:
    """Whether the body is said to be JSON, which no form of another page can send."""
    return Headers(scope=scope).get("content-type", "").split(";")[0] == "application/json"


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return with_headers
