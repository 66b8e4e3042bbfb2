"""What a live session saves can be read again and says nothing of who clicked."""

import json

import numpy as np
import pytest

from clickpet.clicks.reading import read_clicks
from clickpet.errors import InputError
from clickpet.evaluate.tables import read_table
from clickpet.images import read_image
from clickpet.live.saving import save_session


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
