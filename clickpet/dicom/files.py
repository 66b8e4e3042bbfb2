"""DICOM files: recognising them, and reading headers or whole datasets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian


def begins_as_dicom(file: str | Path) -> bool | None:
    """True: has the DICM mark; False: begins like DICOM without the mark (old archives); None: something else."""
    try:
        with open(file, "rb") as handle:
            head = handle.read(132)
    except OSError:
        return None
    if head[128:132] == b"DICM":
        return True
    bare = len(head) > 8 and head[:2] in (b"\x02\x00", b"\x08\x00") and head[3] == 0 and head[2] < 0x20
    return False if bare else None


def is_dicom(path: str | Path) -> bool:
    """True for a folder and for a file that begins as DICOM does."""
    path = Path(path)
    return path.is_dir() or (path.is_file() and begins_as_dicom(path) is not None)


def read_header(file: str | Path, tags: Sequence[int | str], *, marked: bool = True) -> pydicom.FileDataset:
    """The wanted attributes of a DICOM file, without pixels; raises whatever pydicom makes of a damaged file.

    marked : False reads files without the DICM mark, too.
    """
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags), force=not marked)


def read_dataset(file: Path, *, keywords: Sequence[str] | None = None, pixels: bool = True) -> pydicom.FileDataset:
    """A DICOM file, or only some of its attributes; old files without file meta information get it.

    keywords : what to read, None for everything;  pixels : whether to read PixelData, too.
    """
    wanted = None if keywords is None else [*keywords, *(["PixelData"] if pixels else [])]
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=not pixels, specific_tags=wanted)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset
