"""Weights from the internet, once and with checksums, for machines that may have none.

What is fetched: TotalSegmentator's models for the organs, and the autoPET III winner's checkpoints that training
starts from. A lock file beside the weights (`clickpet.weights_lock`) holds the SHA-256 of every archive and file: what
was fetched once is what is accepted later, and what networks are loaded from.
"""

from __future__ import annotations

import shutil
import stat
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.weights_lock import LOCK, check_locked, file_digest, read_lock

_CHUNK = 1 << 20
_TIMEOUT_S = 60
#: Where an address may begin, and where a server may send us on to.
_SCHEMES = ("https://", "file://")
_REDIRECTS = ("https://",)
#: Bytes of a download whose size is not known.
_MOST_BYTES = 20 * 10**9
#: Limits of an archive: weights hardly compress, and a model is some tens of files.
_MOST_GROWTH = 4
_MOST_FILES = 2000
_MOST_NAME = 400


@dataclass(frozen=True)
class Archive:
    """A zip archive of weights.

    name : folder that it unpacks to;  bytes : size;  digests : {"sha256" | "md5": hex} known beforehand; None and
    empty where nothing is known: then the first download is trusted, and recorded.
    """

    name: str
    url: str
    bytes: int | None = None
    digests: dict[str, str] = field(default_factory=dict)
    licence: str = ""


#: Sizes of TotalSegmentator's release archives, whose authors publish no checksums. The SHA-256 of Dataset291 is
#: one that users of the archive recorded; the others are recorded by the first download.
TOTALSEGMENTATOR = {
    "Dataset291_TotalSegmentator_part1_organs_1559subj": (
        233_742_255,
        {"sha256": "2cde8e6bcfb5b6a02183648a7036c3d6b28bc854576f8e1c34fbd6b4dd5c6c5b"},
    ),
    "Dataset292_TotalSegmentator_part2_vertebrae_1532subj": (234_050_721, {}),
    "Dataset293_TotalSegmentator_part3_cardiac_1559subj": (234_190_318, {}),
    "Dataset294_TotalSegmentator_part4_muscles_1559subj": (233_625_081, {}),
    "Dataset295_TotalSegmentator_part5_ribs_1559subj": (234_016_576, {}),
    "Dataset297_TotalSegmentator_total_3mm_1559subj": (135_386_075, {}),
    "Dataset298_TotalSegmentator_total_6mm_1559subj": (134_827_240, {}),
    "Dataset775_head_glands_cavities_492subj": (231_091_065, {}),
}
#: The autoPET III winner ("LesionTracer"): CT and PET, five folds. Zenodo publishes the MD5.
LESIONTRACER = Archive(
    name="Dataset222_AutoPETIII_2024",
    url="https://zenodo.org/records/14007247/files/autoPET-3-LesionTracer.zip?download=1",
    bytes=3_808_128_600,
    digests={"md5": "566016409b0bd14770c0b57c1f2873f1"},
    licence="CC-BY-4.0",
)


def organ_archives(tasks: Sequence[str], *, fast: bool = False) -> list[Archive]:
    """Archives of TotalSegmentator's models for `tasks`, with the addresses of its own tables."""
    from clickpet.organs.totalsegmentator import find_task, needed_models

    archives = []
    for model in needed_models([find_task(name, fast=fast) for name in tasks]):
        size, digests = TOTALSEGMENTATOR.get(model.folder, (None, {}))
        archives.append(Archive(model.folder, model.url, size, digests, "Apache-2.0"))
    return archives


def fetch(archives: Iterable[Archive], folder: str | Path, *, progress: Callable[[str], None] = print) -> None:
    """Download, check and unpack what is not in `folder` yet; what is there is checked against the lock file.

    A download that was cut off goes on where it stopped. An archive whose size or checksum is not the known one
    is deleted and never unpacked. Every archive is unpacked beside its place and renamed, so a folder is whole or
    not there.

    Raises InputError for a failed download, a wrong size or checksum, an archive that is damaged or that would
    write outside its folder, and for files in `folder` that have changed.
    """
    folder = Path(folder).expanduser()
    for archive in archives:
        lock = read_lock(folder)
        if (folder / archive.name).is_dir():
            if archive.name in lock:
                check(folder, [archive.name])
                progress(f"{archive.name}: there already, checksums fit")
            else:
                progress(f"{archive.name}: there already, not fetched by this command: no checksums to compare with")
            continue
        progress(f"{archive.name}: {archive.url}")
        part = folder / f".{archive.name}.zip.part"
        _download(archive.url, part, archive.bytes, progress)
        try:
            digests = _checked_digests(archive, part, lock.get(archive.name, {}))
            files = _unpack(part, folder, archive.name)
        except InputError:
            part.unlink(missing_ok=True)
            raise
        lock[archive.name] = {
            "url": archive.url, "licence": archive.licence, "bytes": part.stat().st_size,
            "sha256": digests["sha256"], "files": files,
        }  # fmt: skip
        write_json(folder / LOCK, dict(sorted(lock.items())))
        part.unlink()
        how = "the known checksum" if archive.digests else "the size only" if archive.bytes else "nothing known before"
        progress(f"{archive.name}: unpacked, SHA-256 {digests['sha256']} recorded; compared with {how}")


def check(folder: str | Path, names: Sequence[str] | None = None) -> list[str]:
    """Compare unpacked weights with the lock file; returns the names that were checked.

    names : of archives, None for all that the lock file holds. Raises InputError that names the first file that is
    missing or has changed, and where there is no lock file or an archive is not in it.
    """
    folder = Path(folder).expanduser()
    lock = read_lock(folder)
    if not lock:
        raise InputError(f"has no {LOCK}", where=folder, mend="fetch the weights with `clickpet fetch-weights`")
    names = sorted(lock) if names is None else names
    for name in names:
        if not check_locked(folder, name):
            raise InputError(f"does not know {name}", where=folder / LOCK, mend="run `clickpet fetch-weights`")
    return list(names)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server that sends us on only to where nobody on the way can change what comes."""

    def redirect_request(self, request, file, code, message, headers, address):
        if not address.startswith(_REDIRECTS):
            raise urllib.error.URLError(f"its server sends us on to {address[:100]}, which is not safe")
        return super().redirect_request(request, file, code, message, headers, address)


def _download(url: str, part: Path, size: int | None, progress: Callable[[str], None]) -> None:
    if not url.startswith(_SCHEMES):
        raise InputError(f"{url} is not fetched", mend=f"give an address that begins with {' or '.join(_SCHEMES)}")
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if size and part.exists() else 0
    if size and have >= size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "clickpet"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.build_opener(_SafeRedirects).open(request, timeout=_TIMEOUT_S) as answer:
            goes_on = have > 0 and getattr(answer, "status", None) == 206
            with open(part, "ab" if goes_on else "wb") as file:
                done, told = have if goes_on else 0, 0
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if done > (size or _MOST_BYTES):
                        break  # not to fill the disk; whoever checks the size will refuse it
                    if size and done * 10 // size > told:
                        told = done * 10 // size
                        progress(f"  {done / 1e6:.0f} of {size / 1e6:.0f} MB")
        if size and done < size:
            raise OSError(f"cut off after {done} of {size} bytes")
    except (OSError, urllib.error.URLError) as error:
        raise InputError(
            f"cannot be downloaded ({getattr(error, 'reason', None) or error})",
            where=url,
            mend="run this where there is internet (it goes on where it stopped) and copy the folder",
        ) from error


def _checked_digests(archive: Archive, part: Path, locked: dict) -> dict[str, str]:
    size = part.stat().st_size
    if size > _MOST_BYTES or (archive.bytes is not None and size != archive.bytes):
        expected = f"not {archive.bytes}" if archive.bytes else "too many"
        raise InputError(f"has {size} bytes, {expected}", where=archive.url, mend="fetch it again")
    found = {kind: file_digest(part, kind) for kind in ("sha256", *archive.digests)}
    for kind, expected in [*archive.digests.items(), *([("sha256", locked["sha256"])] if "sha256" in locked else [])]:
        if found[kind] != expected:
            raise InputError(
                f"its {kind.upper()} is {found[kind]}, not {expected}",
                where=archive.url,
                mend="fetch it again; if it stays so, the archive was changed by its authors or on the way",
            )
    return found


def _unpack(part: Path, folder: Path, name: str) -> dict[str, str]:
    """Unpack `name/...` of the archive into `folder`; returns {file below `folder`: SHA-256}."""
    beside = folder / f".{name}.unpacking"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with zipfile.ZipFile(part) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member, name, part)]
            if not members:
                raise InputError(f"holds no folder {name}", where=part.name, mend="fetch it again")
            _check_sizes(members, part, folder)
            for member in members:
                target = beside.joinpath(*PurePosixPath(member.filename).parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "xb") as file:  # ends at the size that was checked
                    shutil.copyfileobj(source, file, _CHUNK)
        files = sorted(path for path in beside.rglob("*") if path.is_file())
        digests = {f"{name}/{path.relative_to(beside).as_posix()}": file_digest(path) for path in files}
        beside.rename(folder / name)
        return digests
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
        raise InputError(f"cannot be unpacked ({error})", where=part.name, mend="fetch it again") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _is_wanted(member: zipfile.ZipInfo, name: str, part: Path) -> bool:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        raise InputError(f"would write outside its folder ({member.filename})", where=part.name, mend="do not use it")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"holds a link ({member.filename})", where=part.name, mend="do not use it")
    if len(member.filename) > _MOST_NAME or not member.filename.isprintable():
        raise InputError(f"holds an odd name ({member.filename[:60]!a})", where=part.name, mend="do not use it")
    return not member.is_dir() and len(path.parts) > 1 and path.parts[0] == name


def _check_sizes(members: Sequence[zipfile.ZipInfo], part: Path, folder: Path) -> None:
    """Raise InputError for an archive that would fill the disk: too many files, too much in them, no room for it."""
    total, most = sum(member.file_size for member in members), _MOST_GROWTH * part.stat().st_size + 10**8
    if len(members) > _MOST_FILES or total > most:
        raise InputError(
            f"would unpack to {len(members)} files of {total / 1e6:.0f} MB", where=part.name, mend="do not use it"
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(
            f"has {free / 1e6:.0f} MB free, {part.name} unpacks to {total / 1e6:.0f} MB",
            where=folder,
            mend="free space there, or choose another folder",
        )
