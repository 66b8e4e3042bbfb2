"""A phantom patient with tiny models, and a live session on it."""

import pytest
from phantom_patient import QUICK, new_patient, patient_files, write_models, write_patient

from clickpet.clicks.reading import read_clicks
from clickpet.ingest.petct import read_study
from clickpet.live.models import LiveModels
from clickpet.live.session import LiveSession


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    write_patient(folder)
    write_models(folder / "models")
    return folder


@pytest.fixture(scope="package")
def study(folder):
    files = patient_files(folder)
    return read_study(ct=files["ct"], pet=files["pet"])


@pytest.fixture(scope="package")
def clicks(folder, study):
    return read_clicks(folder / new_patient().files["clicks"], shape=study.shape, affine=study.affine)


@pytest.fixture(scope="package")
def models(folder):
    return LiveModels.load(folder / "models", "cpu", config=QUICK)


@pytest.fixture
def session(models, study):
    session = LiveSession(models)
    session.set_study(ct=study.ct, pet=study.suv, affine=study.affine)
    return session
