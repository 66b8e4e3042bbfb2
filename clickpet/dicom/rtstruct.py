"""Regions of an RTSTRUCT: planar contours, brought onto the PET's grid. DICOM PS3.3 C.8.8.5, C.8.8.6."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from clickpet.dicom.planes import combine_planes, group_places, typical_gap
from clickpet.dicom.polygons import box_area_mm2, boxes_meet, crossing, fill_polygons, same_outline
from clickpet.dicom.regions import Notes, region_label
from clickpet.dicom.slices import meets_grid, note_outside, slice_axis
from clickpet.dicom.values import header_numbers, header_text, header_value
from clickpet.errors import InputError
from clickpet.images import Image

#: A contour smaller than a pixel and than this part of the region's largest one, with no other one near, is a speck.
SPECK_PART = 0.01
#: So is one that lies alone between the region's planes and is smaller than this part of their usual contour.
STRAY_PART = 0.05
#: A plane less than this part of the typical gap away from the next one lies between the region's planes.
_BETWEEN = 0.5
#: Contours within this many typical gaps of each other are near.
_NEAR_GAPS = 1.5


@dataclass(frozen=True)
class ContourRegion:
    """One region; contours are (points, 3) in RAS mm."""

    label: str
    contours: list[np.ndarray]

    def on_grid(self, reference: Image, notes: Notes) -> tuple[np.ndarray, bool]:
        """Mask (x, y, z) and whether the contours meet the PET's field of view.

        Each plane is filled by itself, by the even-odd rule: a contour inside another one is a hole. Specks and
        contours that are stored twice are left out; planes combine as in `clickpet.dicom.planes.combine_planes`.
        """
        to_voxel = np.linalg.inv(reference.affine)
        contours = [points @ to_voxel[:3, :3].T + to_voxel[:3, 3] for points in self.contours]
        axis = slice_axis(contours, reference, notes.file)
        met = meets_grid(contours, reference.shape)
        spacing = np.array(reference.spacing_mm)
        slice_mm, pixel_mm = float(spacing[axis]), np.delete(spacing, axis)
        flat = [np.delete(contour, axis, axis=1) for contour in contours]
        outlines = [points * pixel_mm for points in flat]
        places = np.array([contour[:, axis].mean() for contour in contours])
        planes = self._without_specks(group_places(places * slice_mm), outlines, places, slice_mm, pixel_mm, notes)
        planes = self._checked(planes, outlines, notes)
        middles = [float(places[plane].mean()) for plane in planes]
        mask = np.zeros(reference.shape, bool)
        view = np.moveaxis(mask, axis, 2)
        view[:] = combine_planes(
            middles, lambda plane: _fill([flat[which] for which in planes[plane]], view.shape[:2]), view.shape, slice_mm
        )
        note_outside(middles, view.shape[2], self.label, notes)
        return mask, met

    def _without_specks(self, planes, outlines, places, slice_mm: float, pixel_mm, notes: Notes) -> list[list[int]]:
        """Planes without contours that nobody drew on purpose; all of them where nothing else is left."""
        middles = [float(places[plane].mean()) for plane in planes]
        typical = typical_gap(middles, slice_mm) if len(planes) > 2 else 1.0
        areas = np.array([box_area_mm2(outline) for outline in outlines])
        specks = _strays(planes, middles, areas, typical)
        small = np.flatnonzero(areas < min(float(np.prod(pixel_mm)), SPECK_PART * float(areas.max())))
        specks |= {int(index) for index in small if _isolated(index, outlines, places, _NEAR_GAPS * max(typical, 1.0))}
        if not specks:
            return planes
        notes.add(f"{self.label}: {len(specks)} specks (contours too small to be drawn on purpose) were left")
        return [kept for plane in planes if (kept := [index for index in plane if index not in specks])]

    def _checked(self, planes: list[list[int]], outlines: list[np.ndarray], notes: Notes) -> list[list[int]]:
        """Planes without contours that repeat another one; notes where contours overlap in part."""
        repeats = overlapping = 0
        kept = []
        for plane in planes:
            pairs = boxes_meet([outlines[index] for index in plane]) if len(plane) > 1 else []
            twice = {other for one, other in pairs if same_outline(outlines[plane[one]], outlines[plane[other]])}
            overlapping += any(
                crossing(outlines[plane[one]], outlines[plane[other]])
                for one, other in pairs
                if not {one, other} & twice
            )
            repeats += len(twice)
            kept.append([index for place, index in enumerate(plane) if place not in twice])
        if repeats:
            notes.add(f"{self.label}: {repeats} contours are stored twice; each was taken once")
        if overlapping:
            notes.add(
                f"{self.label}: contours overlap in part in {overlapping} planes; what lies in two of them was left "
                "out (even-odd rule)"
            )
        return kept


def _strays(planes: list[list[int]], middles: list[float], areas: np.ndarray, typical: float) -> set[int]:
    """Small contours, alone in their plane, that lie closely beside another plane, against the typical gap."""
    if len(planes) < 2:
        return set()
    gaps = np.diff(middles)
    usual = float(np.median(areas)) if len(planes) > 2 else float(areas.max())
    small = [index for index, plane in enumerate(planes) if len(plane) == 1 and areas[plane[0]] < STRAY_PART * usual]
    return {planes[index][0] for index in small if min(gaps[max(0, index - 1) : index + 1]) < _BETWEEN * typical}


def _isolated(index: int, outlines: list[np.ndarray], places: np.ndarray, reach: float) -> bool:
    """Whether no other contour lies over, under or around one; reach : in slices."""
    own = outlines[index]
    for other in np.flatnonzero(np.abs(places - places[index]) <= reach):
        apart = np.maximum(outlines[other].min(axis=0) - own.max(axis=0), own.min(axis=0) - outlines[other].max(axis=0))
        if other != index and np.all(apart <= 0):
            return False
    return True


def _fill(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """`fill_polygons` in the window around the polygons, bool (x, y)."""
    filled = np.zeros(shape, bool)
    points = np.concatenate(polygons)
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low, shape)
    window = tuple(int(edge) for edge in high - low)
    if min(window) > 0:
        filled[low[0] : high[0], low[1] : high[1]] = fill_polygons([polygon - low for polygon in polygons], window)
    return filled


def region_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """Names of the regions by ROINumber, in the object's order."""
    items = header_value(dataset, "StructureSetROISequence") or []
    names = {int(item.ROINumber): header_text(item, "ROIName") for item in items}
    for item in header_value(dataset, "ROIContourSequence") or []:
        names.setdefault(int(item.ReferencedROINumber), "")
    return names


def read_regions(dataset: pydicom.Dataset, wanted: dict[int, str], notes: Notes) -> list[ContourRegion]:
    """The wanted regions that have closed contours; InputError where none has, and for contours that are no points."""
    regions = []
    for item in header_value(dataset, "ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        if number not in wanted:
            continue
        label = region_label(wanted[number], number)
        drawn = header_value(item, "ContourSequence") or []
        closed = [one for one in drawn if header_text(one, "ContourGeometricType").upper().startswith("CLOSED")]
        contours = [points for one in closed if len(points := _points(one, notes.file)) >= 3]
        if contours:
            regions.append(ContourRegion(label, contours))
        elif drawn:
            notes.add(f"{label} has no closed contour and was left")
    if not regions:
        raise InputError(
            "has no closed contour",
            where=notes.file,
            mend="draw the region, or name another one in ingest.label_regions",
        )
    return regions


def _points(contour: pydicom.Dataset, file: Path) -> np.ndarray:
    """Points of a contour (points, 3) in RAS mm."""
    points = header_numbers(contour, "ContourData")
    if points.size % 3 or not np.all(np.isfinite(points)):
        raise InputError(
            "has a contour that is no list of points (ContourData (3006,0050))",
            where=file,
            mend="export the structure set again",
        )
    return points.reshape(-1, 3) * (-1, -1, 1)
