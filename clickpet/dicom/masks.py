"""Masks drawn elsewhere (DICOM SEG, RTSTRUCT) brought onto the PET's grid.

Both kinds are a set of planes, each with a shape in it. Every plane is filled by itself; a PET slice takes the nearest
plane, if that is not farther than half the typical distance between planes, so that positions that differ by hundredths
of a millimetre, or planes drawn on the CT, find their slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.config import disable_value_validation

from clickpet.dicom.catalogue import Series, find_series
from clickpet.dicom.files import read_dataset
from clickpet.dicom.regions import Notes, select_regions
from clickpet.dicom.rtstruct import ContourRegion, read_regions, region_names
from clickpet.dicom.seg_reading import SegmentRegion, read_segments, segment_names
from clickpet.dicom.sop_classes import MASK_STORAGE, RTSTRUCT_STORAGE
from clickpet.errors import InputError
from clickpet.images import Image


def load_mask(
    source: str | Path,
    reference: Image,
    *,
    roi: str | int | Sequence[str | int] | None = None,
    frames_of_reference: Sequence[str] = (),
) -> np.ndarray:
    """A DICOM SEG or RTSTRUCT as uint8 mask (0 or 1) on the grid of `reference`, the PET (x, y, z): see `read_mask`."""
    return read_mask(source, reference, roi=roi, frames_of_reference=frames_of_reference)[0]


def read_mask(
    source: str | Path,
    reference: Image,
    *,
    roi: str | int | Sequence[str | int] | None = None,
    frames_of_reference: Sequence[str] = (),
) -> tuple[np.ndarray, dict[str, Any]]:
    """A DICOM SEG or RTSTRUCT as uint8 mask (0 or 1) on the grid of `reference`, the PET (x, y, z), and its record.

    source : a file, or a folder that holds one SEG or RTSTRUCT.
    roi : name or number of the regions (segments) to take, one or several, case ignored, names with * and ? as in file
        names; None takes all together.
    frames_of_reference : FrameOfReferenceUIDs of the study's PET and CT (`Series.frame_of_reference`); where they are
        given, the object's has to be among them.

    Contours are filled plane by plane by the even-odd rule (a contour inside another one is a hole), voxels count by
    their centres. Fractional segments count from half their maximum on. The record holds "source" (RTSTRUCT or SEG),
    "regions" (how many were taken) and "warnings": specks and repeated contours that were left, contours that overlap,
    planes outside of the PET.

    Raises InputError where there is no such object or more than one, for an unknown `roi`, no closed contour, another
    frame of reference, planes tilted against the PET's slices, and a drawn region that holds no voxel of the PET.
    """
    series, file = _find_one(source)
    dataset = _read(file)
    notes = Notes(file)
    contours = series.sop_class == RTSTRUCT_STORAGE
    with _complete(file):
        _refuse_other_frame(dataset, {frame for frame in frames_of_reference if frame}, file)
        wanted = select_regions(region_names(dataset) if contours else segment_names(dataset), roi, file)
        regions = (read_regions if contours else read_segments)(dataset, wanted, notes)
    mask = np.zeros(reference.shape, bool)
    for region in regions:
        mask |= _on_grid(region, reference, notes)
    record = {"source": "RTSTRUCT" if contours else "SEG", "regions": len(regions), "warnings": notes.texts}
    return mask.view(np.uint8), record


def list_regions(source: str | Path) -> list[str]:
    """Names of the regions (RTSTRUCT) or segments (SEG) in an object, in its order."""
    series, file = _find_one(source)
    dataset = _read(file)
    with _complete(file):
        names = region_names(dataset) if series.sop_class == RTSTRUCT_STORAGE else segment_names(dataset)
    return list(names.values())


def _on_grid(region: ContourRegion | SegmentRegion, reference: Image, notes: Notes) -> np.ndarray:
    mask, met = region.on_grid(reference, notes)
    if mask.any() or (isinstance(region, SegmentRegion) and not region.drawn and met):
        return mask
    if not met:
        raise InputError(
            f"{region.label} does not overlap the PET",
            where=notes.file,
            mend="give the object drawn on this study's PET or CT, or name the regions in ingest.label_regions",
        )
    raise InputError(
        f"{region.label} is drawn, but holds no voxel centre of the PET; the mask would be empty",
        where=notes.file,
        mend="draw it larger, or name the regions that count in ingest.label_regions",
    )


def _find_one(source: str | Path) -> tuple[Series, Path]:
    path = Path(source)
    objects = [
        (series, file) for series in find_series(path) if series.sop_class in MASK_STORAGE for file in series.files
    ]
    if path.is_file():
        objects = [(series, file) for series, file in objects if file == path]
    if not objects:
        raise InputError("holds no DICOM SEG or RTSTRUCT", where=path, mend="give the file of the mask")
    if len(objects) > 1:
        listed = ", ".join(str(file.relative_to(path)) for _, file in objects[:6])
        raise InputError(f"holds {len(objects)} SEG or RTSTRUCT objects ({listed})", where=path, mend="give one file")
    return objects[0]


@contextmanager
def _complete(file: Path) -> Iterator[None]:
    """Attributes that an object of its kind has to have, and this one lacks, are the user's to mend."""
    try:
        with disable_value_validation():
            yield
    except InputError:
        raise
    except Exception as error:  # pydicom decodes late and raises whatever a damaged element makes it
        raise InputError(
            f"is a damaged or incomplete DICOM object ({type(error).__name__})",
            where=file,
            mend="copy or export it again",
        ) from None


def _read(file: Path) -> pydicom.Dataset:
    try:
        return read_dataset(file)
    except Exception as error:  # pydicom raises whatever a damaged file makes it
        raise InputError(
            f"is a damaged DICOM file ({type(error).__name__})", where=file, mend="copy it again"
        ) from None


def _refuse_other_frame(dataset: pydicom.Dataset, allowed: set[str], file: Path) -> None:
    frames = {str(dataset.get("FrameOfReferenceUID") or "")}
    frames |= {
        str(item.get("FrameOfReferenceUID") or "") for item in dataset.get("ReferencedFrameOfReferenceSequence") or []
    }
    frames |= {
        str(item.get("ReferencedFrameOfReferenceUID") or "") for item in dataset.get("StructureSetROISequence") or []
    }
    frames.discard("")
    if frames and allowed and not frames & allowed:
        raise InputError(
            "was drawn in another frame of reference (FrameOfReferenceUID (0020,0052)) than the study's",
            where=file,
            mend="give the object that belongs to this study",
        )
