"""A phantom patient, tiny models, and a server of nnInteractive's protocol on them that the real client asks."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession
from phantom_patient import QUICK, patient_files, write_models, write_patient

from clickpet.clicks.reading import read_clicks
from clickpet.ingest.petct import read_study
from clickpet.live.models import LiveModels
from clickpet.serve.access import Gate, host_names
from clickpet.serve.client_session import ClientSession
from clickpet.serve.listening import address_of, listen, run
from clickpet.serve.protocol import body_limits, make_app
from clickpet.serve.sessions import Leases

TOKEN = "a-token-of-the-tests"
MOST_VOXELS = 2_000_000


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    write_patient(folder)
    write_models(folder / "models")
    return folder


@pytest.fixture(scope="package")
def files(folder):
    return patient_files(folder)


@pytest.fixture(scope="package")
def study(files):
    return read_study(ct=files["ct"], pet=files["pet"])


@pytest.fixture(scope="package")
def clicks(files, study):
    return read_clicks(files["clicks"], shape=study.shape, affine=study.affine)


@pytest.fixture(scope="package")
def models(folder):
    return LiveModels.load(folder / "models", "cpu", config=QUICK)


@contextmanager
def serving(models, *, served=None, capacity=4, idle_s=600.0, liveness_s=60.0, told=None):
    """The address of a server in a thread, and its leases."""
    leases = Leases(
        lambda: ClientSession(models, served=served, served_tracer="psma", memory_limit_bytes=2**28),
        capacity=capacity,
        idle_s=idle_s,
        liveness_s=liveness_s,
    )
    told = [] if told is None else told
    app = Gate(
        make_app(leases, most_voxels=MOST_VOXELS),
        names=host_names("127.0.0.1"),
        token=TOKEN,
        body_limit=body_limits(MOST_VOXELS),
        tell=told.append,
    )
    servers, started = [], threading.Event()

    def note(server):
        servers.append(server)
        started.set()

    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=run, args=(app, listening, note))
        thread.start()
        started.wait(10)
        try:
            yield address_of(listening), leases
        finally:
            servers[0].end()
            thread.join(20)
    assert told == []


def connect(address, token=TOKEN):
    """The real client."""
    return nnInteractiveRemoteInferenceSession(address, api_key=token)


def two_channels(study):
    """The image of a study as the Python client sends it."""
    return np.stack([study.suv, study.ct])
