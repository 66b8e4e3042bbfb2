"""Organ maps of many cases by one set of loaded models, kept so that a case is segmented once.

A map is valid as long as the key beside it is: a hash of the case's CT and of what it is segmented with. So a job that
is run again, because a case came to its bucket or because it was killed, does only what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from clickpet.errors import InputError
from clickpet.files import content_hash, read_json, write_json
from clickpet.images import Image, read_image, write_image


class Segmenter(Protocol):
    """What finds organs: `clickpet.organs.totalsegmentator.OrganSegmenter`."""

    def organ_map_on(self, ct: Image, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
        """Organ map of a CT on another grid."""


@dataclass(frozen=True)
class OrganCase:
    """A case to segment. source : its CT as the cohort table names it;  ct : the CT on the PET's grid, a file."""

    slug: str
    source: str
    ct: str


def segment_missing(
    cases: Iterable[OrganCase],
    folder: str | Path,
    *,
    settings: Mapping,
    load_segmenter: Callable[[], Segmenter],
    read_ct: Callable[[str], Image],
    progress: Callable[[str], None] = print,
) -> dict[str, str]:
    """Segment the cases whose map in `folder` is missing or outdated; returns {slug: key} of all.

    folder : {slug}.nii.gz, organ values (uint8) on the PET's grid, and {slug}.json with the key;  settings : all that
    a map depends on besides the CT;  load_segmenter : called once, and only if a map is missing.
    """
    folder, keys, segmenter = Path(folder), {}, None
    for case in cases:
        keys[case.slug] = key = map_key(case.ct, settings)
        path = folder / f"{case.slug}.nii.gz"
        if _known_key(path) == key:
            progress(f"{case.slug}: map is there already")
            continue
        _record_of(path).unlink(missing_ok=True)
        segmenter = segmenter or load_segmenter()
        grid = read_image(case.ct)
        write_image(path, segmenter.organ_map_on(read_ct(case.source), grid.shape, grid.affine), grid.affine)
        write_json(_record_of(path), {"key": key})
        progress(f"{case.slug}: segmented")
    return keys


def read_map(folder: str | Path, slug: str, ct: str | Path, settings: Mapping) -> Image:
    """The kept map of a case; InputError if there is none for this CT and these settings."""
    path = Path(folder) / f"{slug}.nii.gz"
    if _known_key(path) != map_key(ct, settings):
        raise InputError(
            "is missing or was made from another CT or with other settings",
            where=path,
            mend="segment the organs of this case again; maps that are right are kept",
        )
    return read_image(path)


def map_key(ct: str | Path, settings: Mapping) -> str:
    """Hash of a CT file and of settings (16 hex digits)."""
    told = repr(sorted(settings.items()))
    return hashlib.sha256(f"{content_hash(ct)} {told}".encode()).hexdigest()[:16]


def _record_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def _known_key(path: Path) -> str | None:
    record = _record_of(path)
    return read_json(record).get("key") if record.is_file() and path.is_file() else None
