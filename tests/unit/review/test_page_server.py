"""A review through the server as the page asks for it: open, look, click, undo, save, close."""

import base64
import json
import time
import zlib

import nibabel as nib
import numpy as np
import pytest

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.reading import read_clicks
from clickpet.images import read_image
from clickpet.live.session import LiveSession
from clickpet.report.case_figure import window_max_suv
from clickpet.review.review import SUV_WINDOW
from clickpet.review.source import OpenedStudy
from clickpet.review.viewer_grid import ViewerGrid


@pytest.fixture(scope="module")
def grid(scans):
    return ViewerGrid.of(scans.shape, scans.affine)


def post(client, path, body=None, status=200):
    answer = client.post(path, json=body or {})
    assert answer.status_code == status, answer.text
    return answer.json()


def pasted(mask, sent):
    """The page's mask after a state."""
    if sent is not None:
        box = tuple(slice(*side) for side in sent["box"])
        values = np.frombuffer(zlib.decompress(base64.b64decode(sent["zlib"])), np.uint8)
        mask[box] = values.reshape(mask[box].shape, order="F")
    return mask


def expected(single, scans, clicks):
    session = LiveSession(single.models())
    session.set_study(ct=scans.ct, pet=scans.suv, affine=scans.affine, tracer="psma")
    for kind in ("tumor", "background"):
        for voxel in getattr(clicks, kind):
            session.add(kind, [voxel])
    return session.predict()


def test_an_opened_study_is_described_and_its_volumes_are_its_own(client, scans, grid):
    study = post(client, "api/studies/0/open")
    assert (study["name"], study["tracer"], study["suv_window"], study["truth"]) == ("p1", "psma", 15, False)
    assert study["shape"] == list(grid.shape)
    assert study["suv_max"] == pytest.approx(scans.suv.max())
    assert not study["predicted"]
    for name, array in (("pet", scans.suv), ("ct", scans.ct)):
        image = nib.Nifti1Image.from_bytes(client.get(f"api/studies/0/{name}.nii").content)
        np.testing.assert_allclose(image.get_fdata(), grid.volume(array), atol=0.51 if name == "ct" else 0.01)
    mip = nib.Nifti1Image.from_bytes(client.get("api/studies/0/mip.nii").content)
    assert list(mip.shape) == study["mip"]["shape"]
    assert mip.get_fdata().max() == pytest.approx(scans.suv.max(), rel=1e-3)


def test_the_window_is_that_of_the_reports_pictures():
    for tracer, highest in SUV_WINDOW.items():
        assert highest == window_max_suv(tracer)


def test_clicks_undo_and_save_end_in_the_mask_of_a_live_session(client, single, scans, grid, clicks, folder):
    study = post(client, "api/studies/0/open")
    mask = pasted(np.zeros(grid.shape, np.uint8), study["mask"])
    state = post(client, "api/studies/0/predict")
    assert state["saved"]
    mask = pasted(mask, state["mask"])
    np.testing.assert_array_equal(mask, grid.volume(expected(single, scans, Clicks.empty()).mask))
    chosen = Clicks(clicks.tumor[:2], clicks.background[:1])
    steps = [("tumor", 0, clicks.tumor[0]), ("background", 0, clicks.background[0]), ("tumor", 1, clicks.tumor[1])]
    for kind, index, voxel in steps:
        there = grid.to_viewer([voxel]).tolist()
        body = {"kind": kind, "points": there}
        state = post(client, "api/studies/0/interactions", body)
        assert state["previous"] == state["version"] - 1
        assert state["clicks"][kind][index] == there[0]
        mask = pasted(mask, state["mask"])
    assert not state["saved"]
    result = expected(single, scans, chosen)
    np.testing.assert_array_equal(mask, grid.volume(result.mask))
    assert state["totals"]["tmtv_ml"] == pytest.approx(result.tmtv_ml)
    assert [row["volume_ml"] for row in state["lesions"]] == pytest.approx(result.lesions["volume_ml"].tolist())
    for row in state["lesions"][:5]:
        centre = result.lesions.loc[row["lesion"] - 1, ["x_vox", "y_vox", "z_vox"]].to_numpy(float)
        assert np.abs(grid.to_pet([row["voxel"]])[0] - centre).max() <= 1

    post(client, "api/studies/0/interactions", {"kind": "background", "points": grid.to_viewer([[5, 5, 5]]).tolist()})
    state = post(client, "api/studies/0/undo")
    whole = client.get("api/studies/0/state").json()
    assert whole["previous"] is None
    np.testing.assert_array_equal(pasted(np.zeros_like(mask), whole["mask"]), mask)
    assert whole["version"] == state["version"]

    lines = post(client, "api/studies/0/save")["lines"]
    assert str(folder / "out") in lines[0]
    assert client.get("api/studies/0/state").json()["saved"]
    saved = read_image(folder / "out" / "p1_lesions.nii.gz")
    np.testing.assert_array_equal(grid.volume(saved.array), mask)
    kept = read_clicks(folder / "out" / "p1_clicks.json", shape=scans.shape, affine=scans.affine)
    assert kept == chosen
    record = json.loads((folder / "out" / "p1_interaction.json").read_text())["interactions"]
    assert [one["undone"] for one in record] == [False, False, False, True]


def test_scribbles_and_the_order_of_clicks_stay(client, desk, scans):
    made = [Interaction("background", [[4, 5, 6]]), Interaction("tumor", [[7, 8, 9], [8, 8, 9]])]
    desk.studies[1].read = lambda: OpenedStudy(scans, Clicks.from_interactions(made), tracer="psma")
    post(client, "api/studies/1/open")
    state = post(client, "api/studies/1/interactions", {"kind": "tumor", "points": [[1, 2, 3], [1, 2, 4]]})
    assert len(state["clicks"]["tumor"]) == 4
    kept = desk.get(1).clicks.interactions()
    assert [(one.kind, len(one.points)) for one in kept] == [("background", 1), ("tumor", 2), ("tumor", 2)]
    assert len(post(client, "api/studies/1/undo")["clicks"]["tumor"]) == 2
    assert post(client, "api/studies/1/undo")["clicks"]["tumor"] == []


def test_nothing_to_undo_says_so(client):
    post(client, "api/studies/0/open")
    assert post(client, "api/studies/0/undo") == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "lesion", "points": [[1, 2, 3]]}, 422),
        ({"kind": "tumor", "points": []}, 422),
        ({"kind": "tumor", "points": [[1, 2]]}, 422),
        ({"kind": "tumor", "points": [[1, 2, -3]]}, 422),
        ({"kind": "tumor", "points": [[1, 2, 3.5]]}, 422),
        ({"kind": "tumor", "points": [[1, 2, 3000]]}, 422),
        ({"kind": "tumor", "points": [[1, 2, 3]] * 2001}, 422),
        ({}, 422),
    ],
)
def test_what_is_no_click_is_refused_and_changes_nothing(client, body, status):
    post(client, "api/studies/0/open")
    before = client.get("api/studies/0/state").json()
    post(client, "api/studies/0/interactions", body, status)
    assert client.get("api/studies/0/state").json()["clicks"] == before["clicks"]


def test_a_voxel_cannot_be_both(client):
    post(client, "api/studies/0/open")
    post(client, "api/studies/0/interactions", {"kind": "tumor", "points": [[4, 5, 6]]})
    refused = post(client, "api/studies/0/interactions", {"kind": "background", "points": [[4, 5, 6]]}, 422)
    assert "tumor click already" in refused["error"]
    assert client.get("api/studies/0/state").json()["clicks"] == {"tumor": [[4, 5, 6]], "background": []}


def test_a_truth_is_sent_only_when_asked_for_with_what_was_found(client, grid):
    study = post(client, "api/studies/1/open")
    assert study["truth"]
    assert study["notes"] == ["odd"]
    assert [row["volume_ml"] for row in study["lesions"]]
    assert len(study["lesions"]) == 1  # the run's own mask, before anything is predicted
    truth = client.get("api/studies/1/truth").json()
    assert [lesion["found"] for lesion in truth["lesions"]] == [True, False]
    mask = pasted(np.zeros(grid.shape, np.uint8), truth["mask"])
    assert mask.sum() == 27 + 8
    assert grid.to_pet([truth["lesions"][0]["voxel"]]).tolist() == [[11, 11, 11]]
    post(client, "api/studies/0/open")
    assert "no truth" in client.get("api/studies/0/truth").json()["error"]


def test_a_pixel_of_the_projections_leads_to_the_hottest_voxel(client, scans, grid):
    study = post(client, "api/studies/0/open")
    x, y, z = np.unravel_index(np.argmax(grid.volume(scans.suv)), grid.shape)
    middle = study["mip"]["shape"][0] // 2
    across = middle + x // study["mip"]["pool"][0] - -(-grid.shape[0] // study["mip"]["pool"][0]) // 2
    up = z // study["mip"]["pool"][2]
    assert client.get(f"api/studies/0/ray?across={across}&turn=0&up={up}").json() == {"voxel": [x, y, z]}
    assert client.get("api/studies/0/ray?across=0&turn=0&up=0").json() == {"voxel": None}
    assert client.get("api/studies/0/ray?across=-1&turn=0&up=99999").json() == {"voxel": None}


def test_a_study_that_is_not_open_is_gone_and_one_that_is_not_there_too(client):
    for path in ("api/studies/0/state", "api/studies/0/ct.nii", "api/studies/7/state"):
        assert client.get(path).status_code == 410
    assert client.post("api/studies/7/open", json={}).status_code == 410
    assert client.post("api/studies/-1/open", json={}).status_code == 410
    assert client.post("api/studies/x/open", json={}).status_code == 422


def test_an_idle_study_is_closed_and_its_unsaved_clicks_come_back(client, desk):
    post(client, "api/studies/0/open")
    post(client, "api/studies/0/interactions", {"kind": "tumor", "points": [[4, 5, 6]]})
    desk.idle_s = 0.01
    time.sleep(0.05)
    desk.close_idle()
    assert client.get("api/studies/0/state").status_code == 410
    assert [study["unsaved"] for study in client.get("api/studies").json()] == [True, False]
    assert desk.unsaved == [0]
    desk.idle_s = 600
    again = post(client, "api/studies/0/open")
    assert again["clicks"]["tumor"] == [[4, 5, 6]]
    assert not again["saved"]
    assert post(client, "api/studies/0/predict")["clicks"]["tumor"] == [[4, 5, 6]]


def test_no_more_studies_are_open_than_allowed(client, desk):
    desk.most_open = 1
    post(client, "api/studies/0/open")
    post(client, "api/studies/1/open")
    assert client.get("api/studies/0/state").status_code == 410
    assert client.post("api/studies/1/alive", json={}).status_code == 200


def test_the_end_is_told(client, finished):
    post(client, "api/studies/0/open")
    post(client, "api/studies/0/close")
    post(client, "api/finish")
    assert finished == [1]


def test_files_that_cannot_be_read_are_a_line(client, desk):
    def read():
        from clickpet.errors import InputError

        raise InputError("values are no SUV", where="pet.nii.gz")

    desk.studies[1].read = read
    assert post(client, "api/studies/1/open", status=422)["error"] == "pet.nii.gz: values are no SUV"


def test_an_error_of_the_program_is_told_without_what_is_in_the_study(client, desk, capfd, caplog):
    def read():
        raise ValueError("Jane Doe, born 1950")

    desk.studies[1].read = read
    assert client.post("api/studies/1/open", json={}).status_code == 500
    said = capfd.readouterr().err + caplog.text
    assert "ValueError at test_page_server.py:" in said
    assert "Jane" not in said
    assert client.get("api/studies").status_code == 200
