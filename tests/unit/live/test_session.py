"""Live sessions give the masks of predictions from scratch, and keep account of their clicks."""

import threading

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.live.session import LiveSession
from clickpet.models.patient import segment_patient


def test_a_session_gives_what_segment_patient_gives(session, study, clicks, folder, models):
    for kind in ("tumor", "background"):
        for point in getattr(clicks, kind):
            session.add(kind, [point])
    found = session.predict()
    expected = segment_patient(study, clicks, models=folder / "models", config=models.config)
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert 0 < found.mask.sum() < found.mask.size
    assert session.tracer == expected.tracer
    assert found.lesions.equals(expected.lesions.drop(columns="disagreement"))
    assert found.tmtv_ml == expected.totals["tmtv_ml"] > 0
    assert session.clicks == clicks


def test_undo_and_reset_give_the_mask_before(session, clicks):
    first = session.predict()
    assert first.changed is not None
    assert session.undo() is False
    session.add("tumor", clicks.tumor[0])
    second = session.predict()
    assert second.changed is not None
    where = np.zeros(first.mask.shape, bool)
    where[second.changed] = True
    differs = first.mask != second.mask
    assert differs.any()
    assert not differs[~where].any()
    assert session.undo() is True
    third = session.predict()
    np.testing.assert_array_equal(third.mask, first.mask)
    assert third.changed == second.changed
    assert session.predict().changed is None
    for point in clicks.background[:2]:
        session.add("background", point)
    session.reset()
    assert len(session.clicks.background) == len(session.clicks.tumor) == 0
    np.testing.assert_array_equal(session.predict().mask, first.mask)


def test_history_tells_ml_and_seconds_of_each_click(session, clicks):
    before = session.predict()
    session.add("tumor", clicks.tumor[0])
    after = session.predict()
    session.add("background", clicks.background[0])
    session.undo()
    first, second = session.history
    assert (first.kind, first.points.tolist(), first.undone) == ("tumor", [clicks.tumor[0].tolist()], False)
    assert (first.ml_before, first.ml_after, first.seconds) == (before.tmtv_ml, after.tmtv_ml, after.seconds)
    assert (second.ml_before, second.ml_after, second.seconds, second.undone) == (after.tmtv_ml, None, None, True)


@pytest.mark.parametrize(
    ("kind", "points", "text"),
    [
        ("organ", [1, 1, 1], "no kind of click"),
        ("tumor", [[1, 1, 999]], "outside the PET"),
        ("tumor", [[-1, 1, 1]], "outside the PET"),
        ("tumor", [], "no voxel"),
        ("tumor", [1.5, 1, 1], "no voxel"),
        ("tumor", [1, 1], "no voxel"),
    ],
)
def test_clicks_that_are_none_are_refused(session, kind, points, text):
    with pytest.raises(InputError, match=text):
        session.add(kind, points)
    assert session.history == []


def test_a_session_without_a_study_says_so(models, study):
    session = LiveSession(models)
    with pytest.raises(InputError, match="no study"):
        session.predict()
    with pytest.raises(InputError, match="NaN"):
        session.set_study(ct=study.ct, pet=study.suv * np.nan, affine=study.affine)
    session.set_study(ct=study.ct, pet=study.suv, affine=study.affine, tracer="psma")
    assert session.tracer.source == "given"
    session.close()
    with pytest.raises(InputError, match="no study"):
        session.add("tumor", [1, 1, 1])


def test_two_sessions_at_once_share_the_models(models, study, clicks):
    sessions = [LiveSession(models) for _ in range(2)]
    for session, point in zip(sessions, clicks.tumor[:2], strict=True):
        session.set_study(ct=study.ct, pet=study.suv, affine=study.affine, tracer="psma")
        session.add("tumor", point)
    alone = [session.predict().mask for session in sessions]
    assert not np.array_equal(*alone)
    found = {}
    threads = [
        threading.Thread(target=lambda place=place: found.update({place: sessions[place].predict().mask}))
        for place in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, mask in enumerate(alone):
        np.testing.assert_array_equal(found[place], mask)


def test_scribbles_count_as_one_interaction(session, study, clicks, folder, models):
    """And closing gives back what was kept."""
    scribble = clicks.tumor[0] + np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    session.add("background", clicks.background[0])
    session.add("tumor", scribble)
    first = session.predict()
    session.add("tumor", clicks.tumor[1])
    second = session.predict()
    assert second.tiles_run + second.tiles_kept == first.tiles_run
    assert second.tiles_kept > 0
    assert session.undo()
    back = session.predict()
    assert back.tiles_run == 0
    np.testing.assert_array_equal(back.mask, first.mask)
    expected = segment_patient(study, session.clicks, models=folder / "models", config=models.config)
    np.testing.assert_array_equal(back.mask, expected.mask)
    assert session.clicks.sizes("tumor") == [3]
    assert 0 < session.kept_bytes <= session.memory_limit_bytes
    session.close()
    assert session.kept_bytes == 0
