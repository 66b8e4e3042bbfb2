"""`clickpet serve` as a process, asked by the real client: masks, a killed client, ten sessions and an eleventh."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from nnInteractive.inference.remote import ServerAtCapacityError, nnInteractiveRemoteInferenceSession
from phantom_patient import new_patient, write_models, write_patient

from clickpet.clicks.model import Clicks
from clickpet.clicks.reading import read_clicks
from clickpet.ingest.petct import read_study
from clickpet.models.patient import segment_patient

TOKEN = "a-token-of-the-tests"
CONFIG = {"predict": {"tile_step": 1, "voxel_limits": [1, 2, 3]}}
CAPACITY = 10
MEMORY_GIB = 0.5

CLIENT = """
import sys, numpy as np
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession
session = nnInteractiveRemoteInferenceSession(sys.argv[1], api_key=sys.argv[2])
image = np.load(sys.argv[3])
session.set_image(image)
session.set_target_buffer(np.zeros(image.shape[1:], np.uint8))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    write_patient(folder)
    write_models(folder / "models")
    (folder / "config.yaml").write_text(str(CONFIG))
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return {name: folder / file for name, file in new_patient().files.items() if file}


@pytest.fixture(scope="module")
def server(folder, files):
    """The process and its address; it says nothing but its first line."""
    command = [sys.executable, "-c", "from clickpet.cli.app import app; app()", "serve"]
    options = {
        "models": folder / "models", "ct": files["ct"], "pet": files["pet"], "tracer": "psma", "port": 0,
        "capacity": CAPACITY, "memory": MEMORY_GIB, "liveness": 15, "device": "cpu", "config": folder / "config.yaml",
    }  # fmt: skip
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    environment = {**os.environ, "CLICKPET_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    address = re.fullmatch(r"serve: (http://127\.0\.0\.1:\d+) for 10 sessions, on cpu; end with Ctrl-C\n", line)
    assert address, line + process.stderr.read()
    yield process, address[1]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def connect(address):
    return nnInteractiveRemoteInferenceSession(address, api_key=TOKEN)


@pytest.mark.slow
def test_clients_come_and_go_within_the_memory(server, folder, files, tmp_path):
    process, address = server
    study = read_study(ct=files["ct"], pet=files["pet"])
    clicks = read_clicks(files["clicks"], shape=study.shape, affine=study.affine)
    np.save(tmp_path / "pet.npy", study.suv[None])
    killed = subprocess.Popen(
        [sys.executable, "-c", CLIENT, address, TOKEN, tmp_path / "pet.npy"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert killed.stdout.readline() == "ready\n"
    before = psutil.Process(process.pid).memory_info().rss
    clients = [connect(address) for _ in range(CAPACITY - 1)]
    with pytest.raises(ServerAtCapacityError, match="all sessions of the server are taken; try again later"):
        connect(address)
    killed.kill()
    killed.communicate()
    clients.append(_connect_within(address, seconds=60))
    masks = []
    for client in clients:
        client.set_image(study.suv[None])
        masks.append(np.zeros(study.shape, np.uint8))
        client.set_target_buffer(masks[-1])
    for turn in range(2):
        for number, client in enumerate(clients):
            client.add_point_interaction(clicks.tumor[(number + turn) % len(clicks.tumor)], True)
    for number in (0, CAPACITY - 1):
        points = clicks.tumor[[(number + turn) % len(clicks.tumor) for turn in range(2)]]
        expected = segment_patient(
            study,
            Clicks(points, np.zeros((0, 3))),
            models=folder / "models",
            tracer="psma",
            config=CONFIG,
            device="cpu",
        )
        np.testing.assert_array_equal(masks[number], expected.mask)
    grown = psutil.Process(process.pid).memory_info().rss - before
    assert grown < MEMORY_GIB * 2**30 + CAPACITY * 20 * study.suv.nbytes
    for client in clients:
        client.close()


def _connect_within(address, *, seconds):
    import time

    end = time.monotonic() + seconds
    while True:
        try:
            return connect(address)
        except ServerAtCapacityError:
            assert time.monotonic() < end
            time.sleep(0.5)


def test_other_addresses_need_a_token(folder):
    environment = {name: value for name, value in os.environ.items() if "TOKEN" not in name and "API_KEY" not in name}
    command = [sys.executable, "-c", "from clickpet.cli.app import app; app()", "serve"]
    command += ["--models", folder / "models", "--host", "0.0.0.0"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert re.fullmatch(
        r"clickpet: error: --host 0\.0\.0\.0: would let everyone on the network see the study; give a --token .*\n",
        run.stderr,
    )
