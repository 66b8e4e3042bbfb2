"""The page's server run until the person who reviews is done."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress

from clickpet.errors import InputError
from clickpet.review.desk import Desk
from clickpet.review.page_server import make_app
from clickpet.review.source import ReviewedStudy
from clickpet.serve.access import Gate, check_binding, host_names, new_token
from clickpet.serve.listening import QuietServer, address_of, listen, run


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
    token = new_token()
    check_binding(host, token)
    listening = listen(host, port)
    listening.listen()  # from here on who asks is answered, if not at once
    address = f"{address_of(listening)}/{token}/"
    tell(f"review: {address}")
    tell("review: end with Ctrl-C; whoever knows this address can see the study")
    threading.Thread(target=_load_models, args=(studies[0],), daemon=True).start()
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    desk, servers = Desk(studies), []

    def finish() -> None:
        server: QuietServer = servers[0]
        server.end()

    app = make_app(desk, token=token, on_finish=finish)
    run(Gate(app, names=host_names(host), tell=lambda line: tell(f"review: {line}")), listening, servers.append)
    if desk.unsaved:
        tell(f"review: ended; clicks that were not saved: {len(desk.unsaved)} of {len(studies)} studies")


def _load_models(study: ReviewedStudy) -> None:
    """Load the first study's networks while its pictures are looked at."""
    with suppress(InputError, OSError):  # told when the first prediction asks for them
        study.models()
