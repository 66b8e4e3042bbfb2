"""Files of a BIDS data set: PET images, the sidecars and tables that describe them. BIDS specification 1.10."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clickpet.errors import InputError

#: A PET image of a BIDS data set, by its name.
PET_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_pet\.nii(\.gz)?")


def is_bids_pet(path: str | Path) -> bool:
    """Whether a file is the PET of a BIDS data set: named as one, with a sidecar that tells the units."""
    path = Path(path)
    return path.is_file() and bool(PET_NAME.fullmatch(path.name)) and "Units" in read_metadata(path)


def metadata_files(path: str | Path) -> list[Path]:
    """Files that the SUV of a BIDS PET depends on besides the image: sidecars, sessions.tsv, participants.tsv."""
    path = Path(path)
    if not PET_NAME.fullmatch(path.name):
        return []
    return [*_sidecars(path), *(file for file, _, _ in weight_tables(path) if file.is_file())]


def read_metadata(path: Path) -> dict[str, Any]:
    """What the sidecars of an image say, the nearest last: an entry of a nearer file wins (inheritance principle)."""
    found: dict[str, Any] = {}
    for sidecar in _sidecars(path):
        try:
            content = json.loads(sidecar.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({type(error).__name__})", where=sidecar, mend="mend the JSON") from error
        if not isinstance(content, dict):
            raise InputError("holds no table of keys", where=sidecar, mend="mend the JSON")
        found.update(content)
    return found


def weight_tables(path: Path) -> Iterator[tuple[Path, str, str]]:
    """Tables that may tell the weight: file, name of its first column, value of the row."""
    entities = dict(part.split("-", 1) for part in path.name.split("_")[:-1])
    subject = next((folder for folder in path.parents if folder.name == f"sub-{entities['sub']}"), None)
    if subject is None:
        return
    if "ses" in entities:
        yield subject / f"{subject.name}_sessions.tsv", "session_id", f"ses-{entities['ses']}"
    yield subject.parent / "participants.tsv", "participant_id", subject.name


def _sidecars(path: Path) -> list[Path]:
    """JSON files that describe an image, farthest first: of its suffix, with no entity that the image lacks."""
    parts = re.sub(r"\.nii(\.gz)?$", "", path.name).split("_")
    subject = next((folder for folder in path.parents if folder.name == parts[0]), path.parent)
    top = subject.parent if subject != path.parent or subject.name == parts[0] else subject
    folders = [path.parent]
    while folders[-1] != top and folders[-1] != folders[-1].parent:
        folders.append(folders[-1].parent)
    found = []
    for folder in reversed(folders):
        fitting = [file for file in folder.glob(f"*{parts[-1]}.json") if _applies(file, parts)]
        found += sorted(fitting, key=lambda file: file.name.count("_"))
    return found


def _applies(sidecar: Path, parts: list[str]) -> bool:
    own = sidecar.stem.split("_")
    return own[-1] == parts[-1] and set(own[:-1]) <= set(parts[:-1])
