"""Lesion table of a mask: position, volume, SUVmax, SUVmean, SUVpeak and TLG of each lesion.

A lesion is an 18-connected component, as in the official evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clickpet.components import (
    CHUNK_VOXELS,
    LESION_CONNECTIVITY,
    RunLengthMask,
    component_max,
    component_overlap,
    component_sum,
    encode_mask,
    iterate_voxels,
    label_components,
    memory_axes,
    sum_by_component,
)
from clickpet.errors import InputError
from clickpet.images import voxel_volume_ml

if TYPE_CHECKING:
    import pandas as pd

#: Radius of the 1 ml sphere of SUVpeak.
PEAK_RADIUS_MM = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
#: Columns of every lesion table with their types.
COLUMNS = {
    "lesion": "int64", "x_vox": "float64", "y_vox": "float64", "z_vox": "float64", "x_mm": "float64",
    "y_mm": "float64", "z_mm": "float64", "voxels": "int64", "volume_ml": "float64", "suv_max": "float64",
    "suv_mean": "float64", "suv_peak": "float64", "tlg": "float64",
}  # fmt: skip
DISAGREEMENT_COLUMNS = {"disagreement": "float64"}
TRUTH_COLUMNS = {"truth_overlap_ml": "float64", "status": "str"}
PREDICTED_COLUMNS = {"predicted_overlap_ml": "float64", "found": "int64"}


def measure_lesions(
    mask: np.ndarray,
    suv: np.ndarray,
    affine: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    disagreement: np.ndarray | None = None,
) -> pd.DataFrame:
    """A row for each lesion (18-connected component) of `mask`, largest first.

    mask : (x, y, z), non-zero is lesion;  suv : float (x, y, z), g/ml;  affine : (4, 4), voxel index to
    RAS mm;  truth : true mask, where `mask` is a prediction;  predicted : predicted mask, where `mask` is
    the truth;  disagreement : float (x, y, z), standard deviation of the lesion probability over the ensemble.

    Columns: lesion (1, 2, ... by falling volume, equal ones by their first voxel in x, then y, then z);
    centroid x_vox, y_vox, z_vox (voxel indices from 0) and x_mm, y_mm, z_mm (RAS); voxels;
    volume_ml; suv_max, suv_mean, suv_peak (g/ml); tlg (suv_mean times volume, g). SUVpeak is the
    largest mean SUV of a 1 ml sphere (the voxels whose centres are at most 6.204 mm away, lesion or not,
    inside the volume) around any voxel of the lesion. With `disagreement`: its
    mean over the lesion's voxels, 0 (all models agree) to 0.5; NaN if it is not known of one of them.
    With `truth`: truth_overlap_ml and status, "true positive" if they share a voxel, else "false
    positive". With `predicted`: predicted_overlap_ml and found, 1 if they share a voxel, else 0.

    No lesions: no rows, the same columns and types. Raises InputError for shapes that differ.
    """
    for name, array in (("SUV", suv), ("truth", truth), ("prediction", predicted), ("disagreement", disagreement)):
        if array is not None and array.shape != mask.shape:
            raise InputError(
                f"mask {mask.shape} and {name} {array.shape} differ in shape", mend="bring both to one grid"
            )
    encoded = encode_mask(mask, memory_axes(suv))
    component, voxels = _ranked(encoded)
    count = voxels.size
    voxel_ml = voxel_volume_ml(affine)
    centroid_vox = _centroids(encoded, component, count) / np.maximum(voxels, 1)[:, None]
    centroid_mm = centroid_vox @ affine[:3, :3].T + affine[:3, 3]
    mean = component_sum(encoded, component, count, suv) / np.maximum(voxels, 1)
    columns = {
        "lesion": np.arange(1, count + 1),
        **{f"{axis}_vox": centroid_vox[:, place] for place, axis in enumerate("xyz")},
        **{f"{axis}_mm": centroid_mm[:, place] for place, axis in enumerate("xyz")},
        "voxels": voxels,
        "volume_ml": voxels * voxel_ml,
        "suv_max": component_max(encoded, component, count, suv),
        "suv_mean": mean,
        "suv_peak": _peaks(encoded, component, count, suv, affine),
        "tlg": mean * voxels * voxel_ml,
    }
    import pandas as pd  # here: post-processing and the interactive scores import this module without a table

    types = dict(COLUMNS)
    if disagreement is not None:
        columns["disagreement"] = component_sum(encoded, component, count, disagreement) / np.maximum(voxels, 1)
        types |= DISAGREEMENT_COLUMNS
    if truth is not None:
        overlap = component_overlap(encoded, component, count, encode_mask(truth, encoded.axes))
        columns["truth_overlap_ml"] = overlap * voxel_ml
        columns["status"] = np.where(overlap > 0, "true positive", "false positive").astype(object)
        types |= TRUTH_COLUMNS
    if predicted is not None:
        overlap = component_overlap(encoded, component, count, encode_mask(predicted, encoded.axes))
        columns["predicted_overlap_ml"] = overlap * voxel_ml
        columns["found"] = overlap > 0
        types |= PREDICTED_COLUMNS
    return pd.DataFrame(columns).astype(types)


def number_lesions(mask: np.ndarray) -> np.ndarray:
    """The number of its lesion in each voxel of `mask` (x, y, z), as `measure_lesions` numbers them; 0 elsewhere.

    Returns uint16 in the memory order of `mask`. Raises InputError for more than 65,535 lesions.
    """
    encoded = encode_mask(mask)
    component, voxels = _ranked(encoded)
    if voxels.size > np.iinfo(np.uint16).max:
        raise InputError(f"the mask has {voxels.size} lesions", mend="drop small components (postprocess.min_voxels)")
    lines = np.zeros(encoded.line_shape(), np.uint16)
    numbers = lines.transpose(np.argsort(encoded.axes))
    for part, _, index in iterate_voxels(encoded):
        numbers[index] = np.repeat(component[part] + 1, encoded.length[part])
    return numbers


def _ranked(encoded: RunLengthMask) -> tuple[np.ndarray, np.ndarray]:
    """Lesion of each run, from 0 by falling volume, and the voxels of each lesion."""
    component, count = label_components(encoded, LESION_CONNECTIVITY)
    voxels = sum_by_component(encoded.length, component, count)
    # Components come numbered by their first voxel, and a stable sort keeps that for equal volumes.
    order = np.argsort(-voxels, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    return rank[component], voxels[order]


def over_mask(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` of the voxels of `mask`, put back in their places: float32 (x, y, z), 0 elsewhere.

    values : float (n,), one for each non-zero voxel of `mask` (x, y, z) in C order, as `values[mask != 0]` gives
    them, or none at all where they are not known: then NaN in the mask. Raises InputError for another number.
    """
    inside = mask != 0
    if values.size not in (0, np.count_nonzero(inside)):
        raise InputError(
            f"{values.size} values do not fit a mask of {np.count_nonzero(inside)} voxels",
            mend="predict the case again",
        )
    image = np.zeros(mask.shape, np.float32, order="F")
    image[inside] = values if values.size else np.nan
    return image


def measure_study(table: pd.DataFrame) -> dict[str, float | int]:
    """Totals of a study from its lesion table.

    lesions (number), tmtv_ml (total volume), tlg (total lesion glycolysis, sum of SUVmean times ml),
    suv_max, suv_peak (highest of any lesion), suv_mean (over all lesion voxels), largest_ml, dmax_mm (spread of the
    disease: largest distance between the centroids of two lesions, Cottereau et al. 2020). No lesions: 0 lesions, 0 ml,
    0 TLG, the others NaN; so is dmax_mm of one lesion.
    """
    tmtv_ml, tlg = float(table["volume_ml"].sum()), float(table["tlg"].sum())
    return {
        "lesions": len(table),
        "tmtv_ml": tmtv_ml,
        "tlg": tlg,
        "suv_max": float(table["suv_max"].max()),
        "suv_peak": float(table["suv_peak"].max()),
        "suv_mean": tlg / tmtv_ml if tmtv_ml else float("nan"),
        "largest_ml": float(table["volume_ml"].max()),
        "dmax_mm": largest_distance(table[["x_mm", "y_mm", "z_mm"]].to_numpy(float)),
    }


def largest_distance(points: np.ndarray) -> float:
    """Largest distance between two of some points (n, 3); NaN for fewer than two. Takes memory of order n."""
    if len(points) < 2:
        return float("nan")
    return max(float(np.linalg.norm(points[place:] - point, axis=1).max()) for place, point in enumerate(points))


def _centroids(encoded: RunLengthMask, component: np.ndarray, count: int) -> np.ndarray:
    """Sums of the voxel indices of each component; float64 (count, 3)."""
    sums = np.zeros((count, 3))
    slow, middle, fast = np.unravel_index(encoded.start, encoded.line_shape())
    places = (
        slow * encoded.length,
        middle * encoded.length,
        fast * encoded.length + encoded.length * (encoded.length - 1) // 2,
    )
    for axis, place in zip(encoded.axes, places, strict=True):
        sums[:, axis] = sum_by_component(place, component, count)
    return sums


def sphere_offsets(affine: np.ndarray, radius_mm: float = PEAK_RADIUS_MM) -> np.ndarray:
    """Voxel offsets whose centres lie within `radius_mm` of the centre voxel's; int64 (n, 3)."""
    # The box that holds the sphere: half its width along an axis is the radius over the distance of the grid's planes.
    reach = np.floor(radius_mm * np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-half, half + 1) for half in reach), indexing="ij"), -1).reshape(-1, 3)
    return grid[np.linalg.norm(grid @ affine[:3, :3].T, axis=1) <= radius_mm]


def _peaks(
    encoded: RunLengthMask, component: np.ndarray, count: int, suv: np.ndarray, affine: np.ndarray
) -> np.ndarray:
    """SUVpeak of each component; float64 (count,)."""
    offsets = sphere_offsets(affine)
    peaks = np.full(count, -np.inf)
    for part, offset, index in iterate_voxels(encoded):
        mean = np.empty(index[0].size)
        for low in range(0, mean.size, CHUNK_VOXELS // 8):
            block = slice(low, low + CHUNK_VOXELS // 8)
            mean[block] = _sphere_means([place[block] for place in index], suv, offsets)
        np.maximum.at(peaks, component[part], np.maximum.reduceat(mean, offset))
    return peaks


def _sphere_means(index: list[np.ndarray], suv: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Mean SUV of the sphere around each voxel, of the part of it that lies inside the volume."""
    axes = memory_axes(suv)
    lines = suv.transpose(axes)
    if not lines.flags.c_contiguous:
        return _clipped_means(index, suv, offsets)
    whole = np.ones(index[0].size, bool)
    for place, reach, length in zip(index, offsets.max(axis=0), suv.shape, strict=True):
        whole &= (place >= reach) & (place < length - reach)
    means = np.empty(whole.size)
    means[~whole] = _clipped_means([place[~whole] for place in index], suv, offsets)
    # Around voxels away from the border the sphere is the same set of steps in memory.
    centre = np.ravel_multi_index([index[axis][whole] for axis in axes], lines.shape)
    steps = offsets @ (np.array(suv.strides) // suv.itemsize)
    flat, total = lines.reshape(-1), np.zeros(centre.size)
    for step in steps:
        total += flat[centre + step]
    means[whole] = total / len(offsets)
    return means


def _clipped_means(index: list[np.ndarray], suv: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    total, number = np.zeros(index[0].size), np.zeros(index[0].size, np.int64)
    for offset in offsets:
        place = [axis + step for axis, step in zip(index, offset, strict=True)]
        inside = np.ones(total.size, bool)
        for axis, length in zip(place, suv.shape, strict=True):
            inside &= (axis >= 0) & (axis < length)
        total[inside] += suv[tuple(axis[inside] for axis in place)]
        number += inside
    return total / number
