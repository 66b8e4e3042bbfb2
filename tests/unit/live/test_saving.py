"""What a live session saves can be read again and says nothing of who clicked."""

import json

import numpy as np
import pydicom
import pytest
from dicom_maker import write_series

from clickpet.clicks.reading import read_clicks
from clickpet.dicom.masks import load_mask
from clickpet.dicom.series import load_suv
from clickpet.errors import InputError
from clickpet.evaluate.tables import read_table
from clickpet.images import read_image
from clickpet.live.saving import save_session
from clickpet.live.session import LiveSession


def test_saved_files_hold_the_session(session, clicks, study, tmp_path):
    with pytest.raises(InputError, match="no prediction"):
        save_session(session, tmp_path)
    before = session.predict()
    session.add("tumor", clicks.tumor[0])
    session.add("background", clicks.background[0])
    session.undo()
    session.add("background", clicks.background[1])
    after = session.predict()
    paths = save_session(session, tmp_path / "out", name="p1")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths.values())
    for what in ("clicks", "markups"):
        assert read_clicks(paths[what], shape=study.shape, affine=study.affine) == session.clicks
    mask = read_image(paths["mask"])
    np.testing.assert_array_equal(mask.array, after.mask)
    np.testing.assert_array_equal(mask.affine, study.affine)
    assert read_table(paths["table"])["volume_ml"].sum() == pytest.approx(after.tmtv_ml, rel=1e-5)
    record = json.loads(paths["interaction"].read_text())
    assert record["tracer"] == session.tracer.tracer
    assert [one["undone"] for one in record["interactions"]] == [False, True, False]
    assert [one["points"] for one in record["interactions"]] == [
        [clicks.tumor[0].tolist()],
        [clicks.background[0].tolist()],
        [clicks.background[1].tolist()],
    ]
    assert record["interactions"][0]["ml_before"] == before.tmtv_ml
    assert record["interactions"][0]["ml_after"] == record["interactions"][2]["ml_after"] == after.tmtv_ml


def test_the_mask_on_a_dicom_pet_is_a_seg_of_that_pet(models, tmp_path):
    rng = np.random.default_rng(0)
    write_series(tmp_path / "pet", pixels=rng.integers(0, 30000, (14, 24, 30)).astype(np.int16))
    pet, _ = load_suv(tmp_path / "pet")
    session = LiveSession(models)
    session.set_study(ct=np.full(pet.shape, 40.0), pet=pet.array, affine=pet.affine, tracer="psma")
    mask = session.predict().mask
    assert 0 < mask.sum() < mask.size
    paths = save_session(session, tmp_path / "out", name="p1", pet=tmp_path / "pet")
    np.testing.assert_array_equal(load_mask(paths["seg"], pet), mask)
    assert str(pydicom.dcmread(paths["seg"]).PatientID) == "p1"
