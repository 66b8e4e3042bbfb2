"""A phantom patient with tiny models, reviewed through the page's server."""

from dataclasses import dataclass

import numpy as np
import pytest
from phantom_patient import QUICK, patient_files, write_models, write_patient
from starlette.testclient import TestClient

from clickpet.clicks.reading import read_clicks
from clickpet.ingest.petct import read_study
from clickpet.review.desk import Desk
from clickpet.review.page_server import make_app
from clickpet.review.single_study import SingleStudy
from clickpet.review.source import OpenedStudy
from clickpet.serve.access import Gate

TOKEN = "a-token"
HOST = "127.0.0.1:8000"


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    write_patient(folder)
    write_models(folder / "models", folds=(0,))
    return folder


@pytest.fixture(scope="package")
def files(folder):
    return patient_files(folder)


@pytest.fixture(scope="package")
def scans(files):
    return read_study(ct=files["ct"], pet=files["pet"])


@pytest.fixture(scope="package")
def clicks(files, scans):
    return read_clicks(files["clicks"], shape=scans.shape, affine=scans.affine)


@pytest.fixture(scope="package")
def single(folder, files):
    """A study given by its files; its models are loaded once for all tests."""
    return SingleStudy(
        name="p1", ct=files["ct"], pet=files["pet"], models_folder=folder / "models", out=folder / "out", tracer="psma",
        config=QUICK,
    )  # fmt: skip


@dataclass(eq=False)
class WithTruth:
    """A study with a truth and a mask of an earlier run, as those of a worklist have them."""

    single: SingleStudy
    name: str = "study 2"
    facts: dict = None

    def read(self):
        scans = self.single.read().scans
        truth = np.zeros(scans.shape, np.uint8, order="F")
        truth[10:13, 10:13, 10:13], truth[20:22, 20:22, 20:22] = 1, 1
        mask = np.zeros(scans.shape, np.uint8, order="F")
        mask[11:13, 11:14, 11:13] = 1
        return OpenedStudy(scans, tracer="psma", mask=mask, truth=truth, notes=["odd"])

    def models(self):
        return self.single.models()

    def save(self, session):
        return []


@pytest.fixture
def studies(single):
    return [single, WithTruth(single, facts={"rank": 1, "why": "Dice 0.10"})]


@pytest.fixture
def desk(studies):
    return Desk(studies)


@pytest.fixture
def finished():
    return []


@pytest.fixture
def client(desk, finished):
    app = Gate(make_app(desk, token=TOKEN, on_finish=lambda: finished.append(1)), names={"127.0.0.1"})
    with TestClient(app, base_url=f"http://{HOST}/{TOKEN}/", raise_server_exceptions=False) as client:
        yield client
