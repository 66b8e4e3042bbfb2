"""The page's server run until the person who reviews is done."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvicorn

from clickpet.errors import InputError
from clickpet.review.access import new_token
from clickpet.review.desk import Desk
from clickpet.review.page_server import make_app
from clickpet.review.source import ReviewedStudy


def serve_page(
    studies: Sequence[ReviewedStudy],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the page for `studies` until it says that all is done, or Ctrl-C.

    port : 0 takes one that is free;  open_browser : show the page;  tell : is given the address, with its token.
    Nothing of a study is logged: neither requests nor their errors' texts. Raises InputError for an address that
    cannot be listened on.
    """
    if not studies:
        raise InputError("the worklist names no study", mend="run snakemake to its end, then review")
    listening = _listen(host, port)
    port, token = listening.getsockname()[1], new_token()
    desk = Desk(studies)
    app = make_app(desk, token=token, hosts=_names(host, port), on_finish=lambda: setattr(server, "should_exit", True))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    logging.getLogger("uvicorn.error").disabled = True
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/{token}/"
    tell(f"review: {address}")
    tell("review: end with Ctrl-C; whoever knows this address can see the study")
    threading.Thread(target=_load_models, args=(studies[0],), daemon=True).start()
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if desk.unsaved:
        tell(f"review: ended; clicks that were not saved: {len(desk.unsaved)} of {len(studies)} studies")


def _load_models(study: ReviewedStudy) -> None:
    """Load the first study's networks while its pictures are looked at."""
    with suppress(InputError, OSError):  # told when the first prediction asks for them
        study.models()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen()  # from here on who asks is answered, if not at once
    except OSError as error:
        raise InputError(
            f"cannot be listened on ({error.strerror})", where=f"{host}:{port}", mend="give another --host or --port"
        ) from error
    return listening


def _names(host: str, port: int) -> set[str]:
    """Names by which a browser may ask for the server."""
    names = {"127.0.0.1", "localhost"} if _is_local(host) else {host, socket.gethostname(), socket.getfqdn()}
    if host in ("0.0.0.0", "::"):
        names |= {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), port, type=socket.SOCK_STREAM)}
        names |= {"127.0.0.1", "localhost"}
    return {f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names}


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
