"""A server run on a socket until it is told to end, without logs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from clickpet.errors import InputError

#: Requests waiting at once; more are refused with 503 before they are read.
MOST_REQUESTS = 256
#: Seconds that requests may go on after the server was told to end.
GRACE_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to `host` and `port` (0: a free one); InputError where that is not possible."""
    where = f"{host}:{port}"
    listening = None
    try:
        if not 0 <= port < 2**16:
            raise OverflowError("no such port")
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
    except (OSError, OverflowError) as error:
        if listening is not None:
            listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        mend = "give another --host or --port"
        raise InputError(f"cannot be listened on ({reason})", where=where, mend=mend) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """The address of a bound socket as a client on this machine writes it, such as http://127.0.0.1:1527."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class QuietServer(uvicorn.Server):
    """uvicorn that logs nothing: neither requests nor the texts of errors, which may hold values of a study."""

    def __init__(self, app: ASGIApp):
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST_REQUESTS,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        logging.getLogger("uvicorn.error").disabled = True

    def end(self) -> None:
        """End after the requests that run, as Ctrl-C does."""
        self.should_exit = True


def run(app: ASGIApp, listening: socket.socket, started: Callable[[QuietServer], None] = lambda server: None) -> None:
    """Serve `app` on a bound socket until Ctrl-C or until `end` of the server, which `started` is given, is called."""
    server = QuietServer(app)
    started(server)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
