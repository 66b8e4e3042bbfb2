"""The page's server as a command runs it: an address with a token, nothing of a study on the terminal, an end."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from phantom_patient import QUICK

from clickpet.errors import InputError
from clickpet.review.serving import serve_page


def request(address, path="", body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(address + path, data, {"content-type": "application/json", **headers})
    with urllib.request.urlopen(asked, timeout=300) as answer:
        return answer.read()


@pytest.fixture
def command(files, folder, tmp_path):
    """`clickpet review` of the patient, running."""
    config = tmp_path / "quick.yaml"
    config.write_text(json.dumps(QUICK))
    options = {
        "--config": config,
        "--ct": files["ct"],
        "--pet": files["pet"],
        "--models": folder / "models",
        "--out": tmp_path / "out",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from clickpet.cli.app import app; app()", "review", "--no-browser",
         *(str(part) for pair in options.items() for part in pair)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def test_the_command_serves_its_study_to_the_token_alone_and_ends_when_told(command, files):
    line = command.stderr.readline()
    address = re.fullmatch(r"review: (http://127\.0\.0\.1:\d+/[\w-]{32,}/)\n", line)[1]
    assert b"<title>clickpet review</title>" in request(address)
    (study,) = json.loads(request(address, "api/studies"))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        request(address.rsplit("/", 2)[0] + "/" + "x" * 32 + "/", "api/studies")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        request(address, "api/studies", origin="http://elsewhere.example")
    opened = json.loads(request(address, "api/studies/0/open", {}))
    assert opened["name"] == study["name"]
    with pytest.raises(urllib.error.HTTPError, match="422"):
        request(address, "api/studies/0/interactions", {"kind": "tumor", "points": [[9999, 0, 0]]})
    request(address, "api/studies/0/interactions", {"kind": "tumor", "points": [[9, 9, 9]]})
    request(address, "api/finish", {})
    out, rest = command.communicate(timeout=300)
    assert command.returncode == 0
    assert "clicks that were not saved: 1 of 1 studies" in rest
    for word in (study["name"], str(files["pet"]), "api/studies", "9999"):
        assert word not in out + rest


def test_ctrl_c_ends_it_without_a_traceback(command):
    address = command.stderr.readline().split()[-1]
    request(address)
    command.send_signal(signal.SIGINT)
    _, rest = command.communicate(timeout=300)
    assert command.returncode == 0
    assert "Traceback" not in rest


def test_an_address_that_is_taken_is_a_line(single):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot be listened on"):
            serve_page([single], port=taken.getsockname()[1], open_browser=False, tell=lambda line: None)


def test_nothing_to_review_is_a_line():
    with pytest.raises(InputError, match="names no study"):
        serve_page([], open_browser=False, tell=lambda line: None)
