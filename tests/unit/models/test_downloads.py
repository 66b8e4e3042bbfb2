"""Fetching weights: checksums, resuming, damaged and hostile archives; nothing half-unpacked."""

import hashlib
import io
import json
import stat
import threading
import warnings
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.errors import InputError
from clickpet.models.downloads import LESIONTRACER, LOCK, TOTALSEGMENTATOR, Archive, check, fetch, organ_archives

NAME = "Dataset001_stand_in"
FILES = {f"{NAME}/a__b__c/plans.json": b"{}", f"{NAME}/a__b__c/fold_0/checkpoint_final.pth": b"weights" * 9000}


def zipped(files=FILES, *, link: str = "") -> bytes:
    """An archive; `link` : the file in it that is marked as a symbolic link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{NAME}/", b"")
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED if len(content) > 10**6 else zipfile.ZIP_STORED
            member.external_attr = ((stat.S_IFLNK if name == link else stat.S_IFREG) | 0o644) << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def doubled() -> bytes:
    """An archive that holds a file twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings(action="ignore"):
        for content in (b"good", b"evil"):
            archive.writestr(f"{NAME}/a.pth", content)
    return buffer.getvalue()


def digest(content: bytes, kind="sha256") -> str:
    return hashlib.new(kind, content).hexdigest()


@pytest.fixture
def source(tmp_path):
    """An archive on disk, as an address."""

    def make(content=None, **known) -> Archive:
        path = tmp_path / "release" / f"{NAME}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zipped() if content is None else content)
        return Archive(NAME, path.as_uri(), **known)

    return make


@pytest.fixture
def server():
    """A server of one archive that knows byte ranges and can be told to hang up early."""

    class Handler(BaseHTTPRequestHandler):
        content, hang_up_after, asked = zipped(), None, []

        def do_GET(self):
            wanted = self.headers.get("Range")
            type(self).asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = self.content[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.hang_up_after])

        def log_message(self, *arguments):
            pass

    handler = type("OneTest", (Handler,), {"asked": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{running.server_port}/x.zip"
    yield handler
    running.shutdown()
    running.server_close()


def names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def quiet(text):
    pass


def test_an_archive_is_unpacked_and_recorded(source, tmp_path):
    said = []
    fetch([source()], tmp_path / "w", progress=said.append)
    assert names(tmp_path / "w") == {*FILES, LOCK}
    assert (tmp_path / "w" / NAME / "a__b__c" / "fold_0" / "checkpoint_final.pth").read_bytes() == b"weights" * 9000
    entry = json.loads((tmp_path / "w" / LOCK).read_text())[NAME]
    assert entry["sha256"] == digest(zipped())
    assert entry["files"] == {name: digest(content) for name, content in FILES.items()}
    assert said[-1].endswith("recorded; compared with nothing known before")


def test_fetching_again_compares_and_downloads_nothing(source, tmp_path):
    archive = source()
    fetch([archive], tmp_path / "w", progress=quiet)
    (tmp_path / "release" / f"{NAME}.zip").unlink()
    said = []
    fetch([archive], tmp_path / "w", progress=said.append)
    assert said == [f"{NAME}: there already, checksums fit"]


def test_weights_of_another_origin_are_left_alone(source, tmp_path):
    (tmp_path / "w" / NAME).mkdir(parents=True)
    said = []
    fetch([source()], tmp_path / "w", progress=said.append)
    assert "not fetched by this command" in said[0]
    assert names(tmp_path / "w") == set()


def test_known_checksums_are_compared(source, tmp_path):
    content = zipped()
    good = {"sha256": digest(content), "md5": digest(content, "md5")}
    fetch([source(bytes=len(content), digests=good)], tmp_path / "w", progress=quiet)
    assert check(tmp_path / "w") == [NAME]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"bytes": 10}, r"has \d+ bytes, not 10; fetch it again"),
        ({"digests": {"sha256": "0" * 64}}, "its SHA256 is [0-9a-f]{64}, not 0{64}; fetch it again"),
        ({"digests": {"md5": "0" * 32}}, "its MD5 is [0-9a-f]{32}, not 0{32}"),
    ],
)
def test_a_wrong_archive_is_never_unpacked(source, tmp_path, known, message):
    with pytest.raises(InputError, match=message):
        fetch([source(**known)], tmp_path / "w", progress=quiet)
    assert names(tmp_path / "w") == set()


def test_an_archive_that_changed_since_the_first_fetch(source, tmp_path):
    fetch([source()], tmp_path / "w", progress=quiet)
    for path in sorted((tmp_path / "w" / NAME).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "w" / NAME).rmdir()
    with pytest.raises(InputError, match="the archive was changed by its authors or on the way"):
        fetch([source(zipped({f"{NAME}/evil.pth": b"x"}))], tmp_path / "w", progress=quiet)
    assert names(tmp_path / "w") == {LOCK}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a zip", "cannot be unpacked"),
        (zipped()[:-40], "cannot be unpacked"),
        (zipped().replace(b"weights", b"Weights", 1), "cannot be unpacked"),
        (zipped({"elsewhere/a.pth": b"x"}), f"holds no folder {NAME}"),
        (zipped({**FILES, f"{NAME}/../../escaped.txt": b"x"}), "would write outside its folder"),
        (zipped({**FILES, f"{NAME}/link": b"/etc/passwd"}, link=f"{NAME}/link"), "holds a link"),
        (zipped({**FILES, f"{NAME}/a\x1b[31m.txt": b"x"}), "holds an odd name"),
        (zipped({**FILES, f"{NAME}/{'x' * 500}": b"x"}), "holds an odd name"),
        (zipped({**FILES, f"{NAME}/zeros": bytes(200_000_000)}), r"would unpack to 3 files of 200 MB"),
        (zipped({f"{NAME}/{number}": b"x" for number in range(2001)}), "would unpack to 2001 files"),
        (doubled(), "cannot be unpacked"),
        (zipped({**FILES, "/etc/escaped.txt": b"x"}), "would write outside its folder"),
        (zipped({**FILES, f"{NAME}/..\\escaped.txt": b"x"}), "would write outside its folder"),
    ],
)
def test_damaged_and_hostile_archives_leave_nothing(source, tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        fetch([source(content)], tmp_path / "w", progress=quiet)
    assert list((tmp_path / "w").iterdir()) == []
    assert names(tmp_path) == {f"release/{NAME}.zip"}


def test_a_cut_download_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr("clickpet.models.downloads._SCHEMES", ("http://",))
    size = len(server.content)
    archive = Archive(NAME, server.url, bytes=size, digests={"sha256": digest(server.content)})
    server.hang_up_after = 1000
    with pytest.raises(InputError, match=r"cannot be downloaded .*; run this where there is internet"):
        fetch([archive], tmp_path / "w", progress=quiet)
    assert names(tmp_path / "w") == {f".{NAME}.zip.part"}
    server.hang_up_after = None
    fetch([archive], tmp_path / "w", progress=quiet)
    assert server.asked == [None, "bytes=1000-"]
    assert names(tmp_path / "w") == {*FILES, LOCK}


def test_a_longer_download_than_known_ends(server, tmp_path, monkeypatch):
    monkeypatch.setattr("clickpet.models.downloads._SCHEMES", ("http://",))
    monkeypatch.setattr("clickpet.models.downloads._CHUNK", 600)
    with pytest.raises(InputError, match="has 1200 bytes, not 1000; fetch it again"):
        fetch([Archive(NAME, server.url, bytes=1000)], tmp_path / "w", progress=quiet)
    monkeypatch.setattr("clickpet.models.downloads._MOST_BYTES", 2000)
    with pytest.raises(InputError, match="has 2400 bytes, too many"):
        fetch([Archive(NAME, server.url)], tmp_path / "w", progress=quiet)
    assert names(tmp_path / "w") == set()


@pytest.mark.parametrize("onward", ["http://{host}/x.zip", "file:///etc/passwd", "ftp://{host}/x.zip"])
def test_a_server_that_sends_us_on_to_an_unsafe_place_is_not_followed(tmp_path, monkeypatch, onward):
    asked = []

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", onward.format(host=self.headers["Host"]))
            self.end_headers()

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setattr("clickpet.models.downloads._SCHEMES", ("http://",))
    with pytest.raises(InputError, match=r"sends us on to .*, which is not safe|cannot be downloaded"):
        fetch([Archive(NAME, f"http://127.0.0.1:{running.server_port}/first")], tmp_path / "w", progress=quiet)
    running.shutdown()
    running.server_close()
    assert asked == ["/first"]
    assert all(path.stat().st_size == 0 for path in (tmp_path / "w").iterdir())


def test_too_little_room_is_told_before_unpacking(source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(100, 99, 1000)
    monkeypatch.setattr("clickpet.models.downloads.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"has 0 MB free, .* unpacks to 0 MB; free space there"):
        fetch([source()], tmp_path / "w", progress=quiet)
    assert names(tmp_path / "w") == set()


def test_no_internet_is_one_clear_line(tmp_path):
    archive = Archive(NAME, "https://localhost:9/x.zip")
    with pytest.raises(InputError, match=r"https://localhost:9/x\.zip: cannot be downloaded") as caught:
        fetch([archive], tmp_path / "w", progress=quiet)
    assert "\n" not in str(caught.value)


def test_only_safe_addresses(tmp_path):
    with pytest.raises(InputError, match="is not fetched; give an address that begins with https://"):
        fetch([Archive(NAME, "http://example.org/x.zip")], tmp_path, progress=quiet)


def test_changed_and_missing_files_are_found(source, tmp_path):
    fetch([source()], tmp_path / "w", progress=quiet)
    plans = tmp_path / "w" / NAME / "a__b__c" / "plans.json"
    plans.write_text("{} ")
    with pytest.raises(InputError, match=r"plans.json: has changed since it was fetched; delete .*fetch it again"):
        check(tmp_path / "w")
    plans.unlink()
    with pytest.raises(InputError, match=r"plans.json: is missing"):
        fetch([source()], tmp_path / "w", progress=quiet)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a": 1}', '{"a": {"files": ["x"]}}', '{"a": {"files": {"x": "12"}}}', "[" * 100_000]
)
def test_a_broken_lock_file(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(InputError, match=rf"{LOCK}: is "):
        check(tmp_path)


def test_organ_archives_are_those_of_totalsegmentators_tables():
    archives = organ_archives(["total", "head_glands_cavities"])
    assert [archive.name for archive in archives] == sorted(set(TOTALSEGMENTATOR) - {
        "Dataset297_TotalSegmentator_total_3mm_1559subj"}, key=lambda name: (name[7:10] == "298", name))  # fmt: skip
    assert all(archive.url.endswith(f"-weights/{archive.name}.zip") and archive.bytes for archive in archives)
    fast = organ_archives(["total"], fast=True)
    assert [archive.name for archive in fast] == ["Dataset297_TotalSegmentator_total_3mm_1559subj"]
    assert LESIONTRACER.url.startswith("https://zenodo.org/records/14007247/")


def test_the_command(source, tmp_path, monkeypatch):
    monkeypatch.setattr("clickpet.models.downloads.organ_archives", lambda tasks, fast: [source()])
    run = CliRunner().invoke
    result = run(app, ["fetch-weights", "organs", "--to", str(tmp_path / "w")])
    assert result.exit_code == 0
    assert f"weights are in {tmp_path / 'w'}" in result.output
    result = run(app, ["fetch-weights", "--check", "--to", str(tmp_path / "w")])
    assert result.output == f"{NAME}: checksums fit\n"
    result = run(app, ["fetch-weights", "--check", "--to", str(tmp_path / "empty")])
    assert result.exit_code == 1
    assert result.stderr == (
        f"clickpet: error: {tmp_path / 'empty'}: has no {LOCK}; fetch the weights with `clickpet fetch-weights`\n"
    )
