"""A server listens where it is told, tells why it cannot, and logs nothing."""

import socket
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clickpet.errors import InputError
from clickpet.serve.listening import address_of, listen, run


async def greet(request):
    return PlainTextResponse("here")


async def fault(request):
    raise RuntimeError("secret value 4.2")


def test_a_server_answers_until_it_is_ended_and_logs_nothing(capfd, caplog):
    app = Starlette(routes=[Route("/", greet), Route("/fault", fault)])
    with listen("127.0.0.1", 0) as listening:
        servers, started = [], threading.Event()

        def note(server):
            servers.append(server)
            started.set()

        thread = threading.Thread(target=run, args=(app, listening, note))
        thread.start()
        assert started.wait(10)
        address = address_of(listening)
        assert address == f"http://127.0.0.1:{listening.getsockname()[1]}"
        answer = httpx.get(f"{address}/?case=secret", timeout=10, trust_env=False)
        assert answer.text == "here"
        assert "server" not in answer.headers
        assert httpx.get(f"{address}/fault", timeout=10, trust_env=False).status_code == 500
        servers[0].end()
        thread.join(10)
        assert not thread.is_alive()
    printed = capfd.readouterr()
    assert printed.out + printed.err + caplog.text == ""


def test_an_address_in_use_is_told(capfd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}: cannot be listened on .*; give another"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no such host.invalid", 0), ("127.0.0.1", 99999)])
def test_an_address_that_is_none_is_told(host, port):
    with pytest.raises(InputError, match="cannot be listened on"):
        listen(host, port)


@pytest.mark.parametrize(
    ("bound", "address"),
    [
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::1", 8, 0, 0), "http://[::1]:8"),
        (("::", 8, 0, 0), "http://[::1]:8"),
    ],
)
def test_addresses_for_clients_on_this_machine(bound, address):
    class Bound:
        def getsockname(self):
            return bound

    assert address_of(Bound()) == address
