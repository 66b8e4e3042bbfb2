"""The review page in a real browser without network: a person looks, clicks, takes back, saves and closes."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest
from browser import Browser
from click_network import click_models
from phantom_patient import write_patient
from PIL import Image

from clickpet.clicks.reading import read_clicks
from clickpet.images import read_image
from clickpet.ingest.petct import read_study
from clickpet.review.serving import serve_page
from clickpet.review.single_study import SingleStudy
from clickpet.review.source import OpenedStudy
from clickpet.review.viewer_grid import ViewerGrid


@dataclass(eq=False)
class Patient(SingleStudy):
    """A study whose networks stand in for trained ones."""

    networks: object = None

    def models(self):
        return self.networks


@dataclass(eq=False)
class WithTruth(Patient):
    """As the studies of a worklist: a mask of the run and a truth that overlap."""

    def read(self):
        scans = super().read().scans
        masks = np.zeros((2, *scans.shape), np.uint8)
        masks[0, 20:26, 20:26, 30:36], masks[1, 23:29, 20:26, 30:36], masks[1, 10:14, 18:22, 60:64] = 1, 1, 1
        return OpenedStudy(scans, tracer="psma", mask=masks[0], truth=masks[1], notes=["a note"])


class Served:
    """The page's server in a thread, as `clickpet review` runs it."""

    def __init__(self, studies):
        told = []
        self.thread = threading.Thread(
            target=serve_page, args=(studies,), kwargs={"open_browser": False, "tell": told.append}, daemon=True
        )
        self.thread.start()
        while not told:
            time.sleep(0.01)
        self.address = told[0].split()[-1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return click_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def scans(files):
    return read_study(ct=files["ct"], pet=files["pet"])


@pytest.fixture(scope="module")
def grid(scans):
    return ViewerGrid.of(scans.shape, scans.affine)


@pytest.fixture
def patient(files, networks, tmp_path):
    def make(kind=Patient, name="p1"):
        return kind(name=name, ct=files["ct"], pet=files["pet"], models_folder=None, out=tmp_path / "out",
                    tracer="psma", networks=networks)  # fmt: skip

    return make


@pytest.fixture
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def place_of(browser, voxel):
    """Where a voxel lies in the axial plane on the page, once the cross is in its slice."""
    browser.value(f"review.viewer.goTo({voxel})")
    left, top, tile = browser.value(
        "(r => [r.left, r.top, [...review.viewer.nv.screenSlices.find(s => s.axCorSag === 0).leftTopWidthHeight]])"
        "(document.querySelector('#planes canvas').getBoundingClientRect())"
    )
    shape = browser.value("review.viewer.shape")
    # the patient's right is on the left of the picture, anterior above
    part = [1 - (voxel[0] + 0.5) / shape[0], 1 - (voxel[1] + 0.5) / shape[1]]
    return left + tile[0] + tile[2] * part[0], top + tile[1] + tile[3] * part[1]


def click_with(browser, key, voxel):
    """Hold a key and click on a voxel; waits for the new mask and gives the seconds."""
    x, y = place_of(browser, voxel)
    version = browser.value("review.page.state.version")
    browser.key(key, up=False)
    browser.click(x, y)
    browser.key(key, down=False)
    return browser.wait(f"review.page.state.version > {version}")


def page_mask(browser, grid):
    """The mask that the page holds, on the viewer's grid."""
    inside = browser.value("Array.from(review.viewer.mask.keys()).filter(i => review.viewer.mask[i])")
    mask = np.zeros(np.prod(grid.shape), np.uint8)
    mask[inside] = 1
    return mask.reshape(grid.shape, order="F")


def green(picture):
    """Pixels of the mask's colour in a picture."""
    with Image.open(picture) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int), -1, 0)
    return (green > 150) & (green > 1.5 * red) & (green > 1.4 * blue)


def test_a_lesion_is_clicked_taken_back_and_saved(browser, patient, scans, grid, tmp_path):
    served = Served([patient()])
    browser.open(served.address)
    browser.wait("document.body.dataset.ready === 'mask'")
    assert browser.text("#totals") == "0, TMTV 0.0 ml, TLG 0"
    hot = [int(place) for place in np.argwhere(grid.volume(scans.suv) > 5).mean(axis=0)]
    x, y = (round(place) for place in place_of(browser, hot))
    near = (slice(y - 40, y + 40), slice(x - 40, x + 40))
    before = green(browser.picture(tmp_path / "before.png"))[near]

    click_with(browser, "t", hot)
    assert browser.value("review.page.state.clicks") == {"tumor": [hot], "background": []}
    mask = page_mask(browser, grid)
    assert mask[tuple(hot)] == 1
    assert np.abs(np.argwhere(mask) - hot).max() <= 4
    assert browser.value("review.page.lesions.length") == 1
    assert browser.text("#lesions tbody tr td:first-child") == "1"
    browser.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))")
    after = green(browser.picture(tmp_path / "after.png"))[near]
    assert before.sum() == 0
    assert after.sum() > 20

    second = [hot[0] + 12, hot[1], hot[2]]
    click_with(browser, "t", second)
    assert browser.value("review.page.lesions.length") == 2
    click_with(browser, "b", [hot[0] - 12, hot[1], hot[2]])
    assert browser.value("review.page.state.clicks.background.length") == 1
    for left in ({"tumor": [hot, second], "background": []}, {"tumor": [hot], "background": []}):
        version = browser.value("review.page.state.version")
        browser.key("u")
        browser.wait(f"review.page.state.version > {version}")
        assert browser.value("review.page.state.clicks") == left
    np.testing.assert_array_equal(page_mask(browser, grid), mask)

    browser.key("s")
    browser.wait("document.getElementById('saved').textContent.startsWith('Saved')")
    saved = read_image(tmp_path / "out" / "p1_lesions.nii.gz")
    np.testing.assert_array_equal(grid.volume(saved.array), mask)
    kept = read_clicks(tmp_path / "out" / "p1_clicks.json", shape=scans.shape, affine=scans.affine)
    assert kept.tumor.tolist() == grid.to_pet([hot]).tolist()
    assert not len(kept.background)

    browser.press("#close")
    browser.wait("!document.getElementById('done').hidden")
    served.thread.join(30)
    assert not served.thread.is_alive()
    assert browser.failures == []
    outside = [address for address in browser.requests if not address.startswith((served.address, "data:", "blob:"))]
    assert outside == []


def test_keys_wheel_and_table_move_the_cross(browser, patient, grid):
    served = Served([patient()])
    browser.open(served.address)
    browser.wait("document.body.dataset.ready === 'mask'")
    middle = [length // 2 for length in grid.shape]
    place_of(browser, middle)
    for key, step in (
        ("ArrowLeft", [1, 0, 0]), ("ArrowUp", [0, 1, 0]), ("PageUp", [0, 0, 1]), ("ArrowRight", [-1, 0, 0]),
    ):  # fmt: skip
        before = browser.value("review.viewer.voxel")
        browser.key(key)
        assert browser.value("review.viewer.voxel") == [a + b for a, b in zip(before, step, strict=True)]
    x, y = place_of(browser, middle)
    browser.click(x, y)
    assert browser.value("review.viewer.voxel") == middle
    browser.wheel(x, y, 120)
    browser.wait(f"Math.abs(review.viewer.voxel[2] - {middle[2]}) === 1")
    assert browser.value("review.page.state.clicks") == {"tumor": [], "background": []}  # no key, no click

    place_of(browser, middle)
    browser.key("t")  # the key alone: at the cross
    browser.wait("review.page.state.clicks.tumor.length === 1")
    assert browser.value("review.page.state.clicks.tumor") == [middle]
    browser.value("review.viewer.goTo([0, 0, 0])")
    browser.key("n")
    assert browser.value("review.viewer.voxel") == browser.value("review.page.lesions[0].voxel")
    browser.value("review.viewer.goTo([0, 0, 0])")
    browser.press("#lesions tbody tr")
    assert browser.value("review.viewer.voxel") == browser.value("review.page.lesions[0].voxel")
    browser.key("m")
    assert browser.value("review.viewer.labels.img.some(Boolean)") is False
    browser.key("m")
    assert browser.value("review.viewer.labels.img.some(Boolean)") is True

    browser.wait("review.viewer.mipReady")
    browser.key("]")
    assert browser.text("#turn") == "MIP turned 10\N{DEGREE SIGN}"
    browser.key("[")
    hottest = browser.value(
        "(i => { const [x, y] = review.viewer.shape; return [i % x, Math.floor(i / x) % y, Math.floor(i / x / y)]; })"
        "(review.viewer.nv.volumes[1].img.reduce((best, value, i, all) => value > all[best] ? i : best, 0))"
    )
    browser.value(f"review.viewer.goTo({hottest})")
    place = browser.value(
        "(r => { const [x, y] = review.viewer.nvMip.frac2canvasPos(review.viewer.nvMip.scene.crosshairPos);"
        " return [r.left + x, r.top + y]; })(document.querySelector('#mip canvas').getBoundingClientRect())"
    )
    browser.value("review.viewer.goTo([0, 0, 0])")
    browser.click(*place)
    browser.wait(f"review.viewer.voxel.join() === '{','.join(map(str, hottest))}'")
    assert browser.failures == []


def test_a_worklist_shows_the_truth_only_when_asked(browser, patient, grid, tmp_path):
    served = Served([patient(), patient(WithTruth, "p2")])
    browser.open(served.address)
    browser.wait("!document.getElementById('worklist').hidden")
    assert browser.value("[...document.querySelectorAll('#worklist td.name')].map(cell => cell.textContent)") == [
        "p1", "p2",
    ]  # fmt: skip
    browser.press("#worklist tbody tr:nth-child(2) button")
    browser.wait("document.body.dataset.ready === 'mask'")
    assert browser.text("#notes p") == "a note"
    assert not any(address.endswith("/truth") for address in browser.requests)
    click_with(browser, "t", [int(place) for place in grid.to_viewer([[28, 23, 33]])[0]])
    browser.key("e")
    browser.wait("document.querySelectorAll('#lesions tr.missed').length === 1")
    seen = browser.value(
        "(counts => { for (const label of review.viewer.labels.img) counts[label]++; return counts; })([0, 0, 0, 0])"
    )
    both = 6 * 6 * 6 + 4 * 4 * 4
    assert seen[1] + seen[3] == both  # found and missed voxels of the truth
    assert seen[1] + seen[2] == page_mask(browser, grid).sum()
    assert min(seen[1:]) > 0
    browser.key("e")
    assert browser.value("review.viewer.labels.img.some(label => label > 1)") is False
    browser.press("#back")
    browser.wait("!document.getElementById('worklist').hidden")
    assert browser.text("#worklist tbody tr:nth-child(2) button") == "Go on (not saved)"
    assert browser.failures == []


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1024, 700)])
def test_the_page_fits_a_laptop(browser, patient, width, height):
    served = Served([patient()])
    browser.resize(width, height)
    browser.open(served.address)
    browser.wait("document.body.dataset.ready === 'mask'")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.documentElement.scrollHeight") <= height
    assert browser.value("document.querySelector('#planes canvas').getBoundingClientRect().width") > width / 3
    assert browser.value("[...document.querySelectorAll('button, input, select')].every(one => one.tabIndex === 0)")
