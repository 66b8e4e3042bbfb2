"""The grid that the network works on: from the PET grid to it and back, the way nnU-Net's preprocessor does.

Same steps and same values as `DefaultPreprocessor.run_case_npy` (transpose, crop to what is not zero,
normalise, resample), but channel by channel, so that one channel can change (the clicks) while the
others stay, and without the segmentation that nnU-Net makes up on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clickpet.errors import InputError
from clickpet.images import spacing_mm
from clickpet.model_folder import ModelFolder

Box = tuple[slice, slice, slice]


class NetworkGrid:
    """Where a case lies on the grid of the network.

    shape, affine : the PET grid (x, y, z);  content : box of it that holds all that is not zero (see `content_box`).
    Attributes: `shape` and `spacing_mm` of the network's grid, (z, y, x) where the plans do not transpose.
    """

    def __init__(self, model: ModelFolder, shape: Sequence[int], affine: np.ndarray, content: Box):
        from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

        self._model = model
        self._axes = tuple(2 - axis for axis in model.plans.transpose_forward)  # network axis -> axis of (x, y, z)
        self._pet_shape = tuple(int(length) for length in shape)
        self.content = content
        self._pet_spacing_mm = [spacing_mm(affine)[axis] for axis in self._axes]
        self.spacing_mm = [float(edge) for edge in model.configuration.spacing]
        self._content_shape = tuple(content[axis].stop - content[axis].start for axis in self._axes)
        new_shape = compute_new_shape(self._content_shape, self._pet_spacing_mm, self.spacing_mm)
        self.shape = tuple(int(length) for length in new_shape)

    def channel(self, index: int, array: np.ndarray) -> np.ndarray:
        """Channel `index` of the network's input: `array` (x, y, z) normalised and resampled, float32 (z, y, x)."""
        image = np.array(array[self.content].transpose(self._axes), dtype=np.float32, order="C")
        image = _normaliser(self._model, index).run(image, None)
        resample = self._model.configuration.resampling_fn_data
        return resample(image[None], self.shape, self._pet_spacing_mm, self.spacing_mm)[0]

    def box(self, box: Box) -> Box:
        """The smallest box of the network's grid that holds all of a box (x, y, z) of the PET grid."""
        slices = []
        for axis, length, content_length in zip(self._axes, self.shape, self._content_shape, strict=True):
            offset, scale = self.content[axis].start, length / content_length
            start = min(max(int(np.floor((box[axis].start - offset) * scale)), 0), length - 1)
            stop = min(int(np.ceil((box[axis].stop - offset) * scale)), length)
            slices.append(slice(start, max(stop, start + 1)))
        return tuple(slices)

    def mask(self, values: np.ndarray, box: Box) -> np.ndarray:
        """Where `values` (float32, a `box` of the network's grid), brought back onto the PET grid, are above 0.

        Returns uint8 (x, y, z), 0 outside the box. Takes a few planes of memory besides.
        """
        return self._onto_pet(values, box, np.uint8, lambda plane: plane > 0)

    def image(self, values: np.ndarray, box: Box) -> np.ndarray:
        """`values` (float32, a `box` of the network's grid) on the PET grid, float32 (x, y, z), 0 outside the box."""
        return self._onto_pet(values, box, np.float32, lambda plane: plane)

    def _onto_pet(self, values: np.ndarray, box: Box, dtype: type, of_plane) -> np.ndarray:
        """Linear interpolation (nearest along an axis that is three times as coarse, like nnU-Net), plane by plane."""
        result = np.zeros(self._pet_shape, dtype=dtype, order="F")
        target = result[self.content].transpose(self._axes)
        if self.shape == self._content_shape:
            for plane, value in zip(target[box], values, strict=True):
                plane[...] = of_plane(value)
            return result
        coarse = _coarse_axis(self.spacing_mm, self._pet_spacing_mm)
        rows, taps = zip(
            *(
                _taps(box[axis], self.shape[axis], self._content_shape[axis], nearest=axis == coarse)
                for axis in range(3)
            ),
            strict=True,
        )
        left, right = (_matrix(taps[axis], values.shape[axis]) for axis in (1, 2))
        planes: dict[int, np.ndarray] = {}
        for plane, (low, high, weight) in zip(target[rows], zip(*taps[0], strict=True), strict=True):
            planes = {
                key: planes[key] if key in planes else left @ values[key] @ right.T
                for key in dict.fromkeys((low, high))
            }
            plane[...] = of_plane(planes[low] * (1 - weight) + planes[high] * weight)
        return result


def content_box(arrays: Sequence[np.ndarray]) -> Box:
    """Box (x, y, z) of the voxels that are not zero in at least one of `arrays`; the whole grid if there are none."""
    spans = []
    for axis, length in enumerate(arrays[0].shape):
        planes = [np.moveaxis(array, axis, 0) for array in arrays]
        used = (index for index in range(length) if any(plane[index].any() for plane in planes))
        start = next(used, None)
        if start is None:
            return tuple(slice(0, extent) for extent in arrays[0].shape)
        used = (index for index in range(length - 1, -1, -1) if any(plane[index].any() for plane in planes))
        spans.append(slice(start, next(used) + 1))
    return tuple(spans)


def _normaliser(model: ModelFolder, index: int):
    from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes

    name = model.configuration.normalization_schemes[index]
    scheme = getattr(schemes, name, None)
    if scheme is None or model.configuration.use_mask_for_norm[index]:
        masked = " within a mask" if scheme else ""
        raise InputError(f"normalises channel {index} by {name}{masked}, which is not known here", where=model.path)
    intensities = model.plans.foreground_intensity_properties_per_channel[str(index)]
    return scheme(use_mask_for_norm=False, intensityproperties=intensities)


def _coarse_axis(spacing_a: Sequence[float], spacing_b: Sequence[float]) -> int | None:
    from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

    return determine_do_sep_z_and_axis(None, spacing_a, spacing_b)[1]


def _taps(box: slice, length: int, new_length: int, *, nearest: bool):
    """How `new_length` points read the values of `box` along one axis of `length` points.

    Both grids span the same extent (voxel centres at (i + 0.5) / length). Returns the slice of new points
    within the box, and for each its two neighbours in the box and the second one's weight.
    """
    points = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    inside = np.flatnonzero((points >= box.start - 0.5) & (points < box.stop - 0.5))
    if not len(inside):
        return slice(0, 0), ([], [], [])
    points = np.clip(points[inside] - box.start, 0, box.stop - box.start - 1)
    if nearest:
        points = np.floor(points + 0.5)
    low = np.floor(points).astype(int)
    high = np.minimum(low + 1, box.stop - box.start - 1)
    rows = slice(int(inside[0]), int(inside[-1]) + 1)
    return rows, (low.tolist(), high.tolist(), (points - low).astype(np.float32).tolist())


def _matrix(taps: tuple[list[int], list[int], list[float]], length: int) -> np.ndarray:
    low, high, weight = taps
    matrix = np.zeros((len(low), length), dtype=np.float32)
    rows = np.arange(len(low))
    np.add.at(matrix, (rows, low), 1 - np.asarray(weight, dtype=np.float32))
    np.add.at(matrix, (rows, high), weight)
    return matrix
