"""The real nnInteractive client against the server: the masks of live sessions, leases, refusals, several clients."""

import json
import threading
import time

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote import ServerAtCapacityError, SessionExpiredError
from nnInteractive.inference.remote.serialization import pack_array
from serve.conftest import MOST_VOXELS, TOKEN, connect, serving, two_channels

from clickpet.live.session import LiveSession
from clickpet.models.patient import segment_patient


@pytest.fixture(scope="module")
def server(models, study):
    with serving(models, served=study) as (address, _):
        yield address


@pytest.fixture
def client(server):
    with connect(server) as client:
        yield client


@pytest.fixture
def raw(server):
    """Plain HTTP with a lease."""
    with httpx.Client(base_url=server, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False) as http:
        http.headers["x-lease-token"] = http.post("/claim").json()["lease_token"]
        yield http
        http.post("/release")


def begin(client, study, **properties):
    """Send a study of two channels; returns the client's mask."""
    client.set_image(two_channels(study), {"affine": study.affine, "tracer": "psma", **properties})
    client.set_target_buffer(np.zeros(study.shape, np.uint8))
    return client.target_buffer


def live_session(models, study):
    session = LiveSession(models)
    session.set_study(ct=study.ct, pet=study.suv, affine=study.affine, tracer="psma")
    return session


def test_three_points_give_the_mask_of_a_live_session_and_of_the_workflow(client, models, study, clicks, folder):
    mask = begin(client, study)
    assert client.original_image_shape == study.shape
    session = live_session(models, study)
    given = [("tumor", clicks.tumor[0]), ("background", clicks.background[0]), ("tumor", clicks.tumor[1])]
    for kind, point in given:
        box = client.add_point_interaction(point, include_interaction=kind == "tumor")
        session.add(kind, point)
        np.testing.assert_array_equal(mask, session.predict().mask)
        assert box is None or mask[tuple(slice(*span) for span in box)].size
    expected = segment_patient(study, session.clicks, models=folder / "models", tracer="psma", config=models.config)
    np.testing.assert_array_equal(mask, expected.mask)
    assert 0 < mask.sum() < mask.size


def test_undo_and_reset(client, models, study, clicks):
    mask = begin(client, study)
    assert client.undo() is False
    client.add_point_interaction(clicks.tumor[0], True)
    one = mask.copy()
    client.add_point_interaction(clicks.background[0], False)
    assert not np.array_equal(mask, one)
    assert client.undo() is True
    np.testing.assert_array_equal(mask, one)
    assert client.undo() is True
    assert not mask.any()  # as before the first click
    assert client.undo() is False
    client._predict()
    automatic = live_session(models, study).predict().mask
    np.testing.assert_array_equal(mask, automatic)
    client.add_point_interaction(clicks.tumor[0], True)
    client.undo()
    np.testing.assert_array_equal(mask, automatic)
    client.add_point_interaction(clicks.tumor[0], True)
    client.reset_interactions()
    assert not mask.any()
    client.add_point_interaction(clicks.tumor[0], True)
    np.testing.assert_array_equal(mask, one)


def test_interactions_without_a_prediction_wait_for_the_next(client, models, study, clicks):
    mask = begin(client, study)
    client.add_point_interaction(clicks.tumor[0], True, run_prediction=False)
    client.add_point_interaction(clicks.background[0], False, run_prediction=False)
    assert not mask.any()
    assert client.undo() is True
    assert not mask.any()
    client._predict()
    session = live_session(models, study)
    session.add("tumor", clicks.tumor[0])
    np.testing.assert_array_equal(mask, session.predict().mask)
    client.set_target_buffer(np.zeros(study.shape, np.uint8))
    client._predict()
    np.testing.assert_array_equal(client.target_buffer, mask)


def test_scribbles_of_the_whole_image_and_of_a_box_are_the_same(client, models, study, clicks):
    start = clicks.tumor[0]
    whole = np.zeros(study.shape, np.uint8)
    whole[start[0] - 1 : start[0] + 2, start[1], start[2]] = 1
    session = live_session(models, study)
    session.add("tumor", np.argwhere(whole))
    expected = session.predict().mask
    mask = begin(client, study)
    client.add_scribble_interaction(whole, True)
    np.testing.assert_array_equal(mask, expected)
    box = [[int(start[0]) - 1, int(start[0]) + 2], *([int(place), int(place) + 1] for place in start[1:])]
    client.reset_interactions()
    client.add_scribble_interaction(whole[tuple(slice(*span) for span in box)], True, interaction_bbox=box)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("factor", [1, 3210.5])
def test_the_pet_of_the_server_is_known_in_the_order_of_slicer(client, models, study, clicks, factor):
    image = (study.suv * np.float32(factor)).transpose(2, 1, 0)
    client.set_image(image[None], {"spacing": study.spacing_mm[::-1]})
    client.set_target_buffer(np.zeros(image.shape, np.uint8))
    session = live_session(models, study)
    session.add("tumor", clicks.tumor[0])
    client.add_point_interaction(clicks.tumor[0][::-1], True)
    np.testing.assert_array_equal(client.target_buffer, session.predict().mask.transpose(2, 1, 0))


def refused(call, *given, status=400, **options):
    with pytest.raises(httpx.HTTPStatusError) as error:
        call(*given, **options)
    assert error.value.response.status_code == status
    return error.value.response.json()["detail"]


def test_what_the_models_do_not_know_is_refused_and_changes_nothing(client, study, clicks):
    assert client.supported_interactions == {
        "points": True, "scribble": True, "lasso": False, "bbox2d": False, "bbox3d": False,
    }  # fmt: skip
    assert not client.supports_initial_label
    assert "first" in refused(client.add_point_interaction, [1, 1, 1], True)
    mask = begin(client, study)
    client.add_point_interaction(clicks.tumor[0], True)
    before = mask.copy()
    assert "boxes" in refused(client.add_bbox_interaction, [[1, 2], [1, 2], [1, 2]], True)
    assert "lassos" in refused(client.add_lasso_interaction, np.ones(study.shape, np.uint8), True)
    assert "outside" in refused(client.add_point_interaction, [1, 1, 9999], True)
    assert "outside" in refused(client.add_point_interaction, [-1, 1, 1], True)
    assert "empty" in refused(client.add_scribble_interaction, np.zeros(study.shape, np.uint8), True)
    assert "shape" in refused(client.add_scribble_interaction, np.ones((2, 2, 2), np.uint8), True)
    assert "thinner" in refused(client.add_scribble_interaction, np.ones(study.shape, np.uint8), True)
    assert "shape" in refused(client.set_target_buffer, np.zeros((2, 2, 2), np.uint8))
    client.target_buffer = mask
    client._predict()
    np.testing.assert_array_equal(mask, before)
    assert "initial" in refused(client.add_initial_seg_interaction, before)
    client.set_do_autozoom(True)


def test_images_that_are_no_study_are_refused(client, study):
    image, good = two_channels(study), {"affine": study.affine}
    assert "neither spacing nor affine" in refused(client.set_image, image, {})
    assert "first channel" in refused(client.set_image, image[::-1], good)
    assert "not the PET" in refused(client.set_image, image[:1, :-1], good)
    assert "not the PET" in refused(client.set_image, image[1:], good)
    assert "3 channels" in refused(client.set_image, np.concatenate([image, image[:1]]), good)
    assert "tracer" in refused(client.set_image, image, {**good, "tracer": "fes"})
    assert "voxels" in refused(client.set_image, np.zeros((1, MOST_VOXELS + 1, 1, 1), np.int8), good)


@pytest.mark.parametrize("token", [None, "wrong", TOKEN + "x"])
def test_a_wrong_token_is_refused(server, token, monkeypatch):
    monkeypatch.delenv("NN_INTERACTIVE_API_KEY", raising=False)
    assert refused(connect, server, token, status=401) == "the token is missing or wrong"


def test_hosts_and_origins_of_others_are_refused(raw):
    assert raw.get("/healthz").json() == {"ok": True}
    assert raw.get("/healthz", headers={"host": "evil.example"}).status_code == 421
    assert raw.get("/healthz", headers={"origin": "http://evil.example"}).status_code == 403


def test_malformed_requests_are_refused_and_say_nothing_of_the_values(raw):
    for path, body in [
        ("/add_point_interaction", {"coordinates": [1, 2], "include_interaction": True}),
        ("/add_point_interaction", {"coordinates": [1, 2, "secret"], "include_interaction": True}),
        ("/set_target_buffer", {"shape": "secret"}),
    ]:
        answer = raw.post(path, json=body)
        assert (answer.status_code, answer.json()) == (422, {"detail": "the request is malformed"})
    assert raw.post("/add_point_interaction", content=b"{" * 60000).status_code == 422
    assert raw.post("/add_point_interaction", content=b"x" * 70000).status_code == 413
    assert raw.post("/set_image", headers={"x-meta": "[" * 1000}, content=b"x").status_code == 422
    assert raw.post("/set_image", content=b"NNIA").status_code == 400
    assert raw.post("/set_image", content=pack_array(np.zeros((2, 2, 2), np.float32))).status_code == 400
    meta = {"x-meta": json.dumps({"image_properties": {"affine": "/etc/passwd"}})}
    two = np.zeros((2, 2, 2, 2), np.float32)
    assert "affine" in raw.post("/set_image", headers=meta, content=pack_array(two)).json()["detail"]
    assert raw.get("/docs").status_code == raw.get("/openapi.json").status_code == 404


def test_capacity_release_and_tokens_of_others(models, study, clicks):
    with serving(models, capacity=2) as (address, leases):
        first, second = connect(address), connect(address)
        with pytest.raises(ServerAtCapacityError, match="try again later"):
            connect(address)
        begin(first, study)
        assert first.lease_status()["idle_timeout_seconds"] == 600
        assert 590 < first.heartbeat() <= 600
        assert "set_image first" in refused(second.add_point_interaction, clicks.tumor[0], True)
        first.close()
        assert len(leases) == 1
        with connect(address) as third:
            assert "set_image first" in refused(third.add_point_interaction, clicks.tumor[0], True)
        second._http.headers["x-lease-token"] = first._lease_token or "gone"
        with pytest.raises(SessionExpiredError, match="over"):
            second.add_point_interaction(clicks.tumor[0], True)


def test_a_client_that_vanishes_frees_its_room_and_an_idle_one_is_told(models, study, clicks):
    with serving(models, capacity=1, liveness_s=0.4, idle_s=600) as (address, leases):
        vanished = connect(address)  # its heartbeat comes every 5 s at most, too late
        end = time.monotonic() + 10
        while len(leases) and time.monotonic() < end:
            time.sleep(0.05)
        assert len(leases) == 0
        with pytest.raises(SessionExpiredError):
            vanished.add_point_interaction(clicks.tumor[0], True)
        connect(address).close()


def test_two_clients_at_once_with_two_studies(server, models, study, clicks):
    class Flipped:
        suv, ct = (np.asfortranarray(array[:, :-4]) for array in (study.suv, study.ct))
        affine, shape = study.affine, suv.shape

    found = {}

    def use(name, one, point):
        with connect(server) as client:
            mask = begin(client, one)
            client.add_point_interaction(point, True)
            client.add_point_interaction(clicks.background[0], False)
            client.undo()
            found[name] = mask

    threads = [
        threading.Thread(target=use, args=given)
        for given in (("a", study, clicks.tumor[0]), ("b", Flipped, clicks.tumor[1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, one, point in (("a", study, clicks.tumor[0]), ("b", Flipped, clicks.tumor[1])):
        session = live_session(models, _study(one))
        session.add("tumor", point)
        np.testing.assert_array_equal(found[name], session.predict().mask)


def _study(one):
    from clickpet.ingest.petct import PetCt

    return PetCt(ct=one.ct, suv=one.suv, affine=one.affine)


def test_a_prediction_of_one_client_holds_up_no_heartbeat_of_another(server, models, study):
    with connect(server) as busy, connect(server) as other, models.lock:
        thread = threading.Thread(target=busy.set_image, args=(two_channels(study), {"affine": study.affine}))
        thread.start()
        time.sleep(0.3)
        start = time.monotonic()
        assert other.heartbeat() > 0
        assert time.monotonic() - start < 5
        assert thread.is_alive()
    thread.join(30)
