"""Resampling between the PET's grid and the network's, with the steps and values of nnU-Net's preprocessor.

Same steps and same values as `DefaultPreprocessor.run_case_npy` (transpose, crop to what is not zero,
normalise, resample), but channel by channel, so that one channel can change (the clicks) while the
others stay; only the box that is looked at; and without the segmentation that nnU-Net makes up on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from clickpet.errors import InputError
from clickpet.images import spacing_mm
from clickpet.nnunet.nonzero_box import Box, intersection, nonzero_box
from clickpet.nnunet.resampling import (
    linear_rows,
    local_spline_matrix,
    reached_span,
    resize,
    resize_locally,
    source_span,
    spline_matrix,
    used_span,
)

if TYPE_CHECKING:
    from clickpet.nnunet.model_folder import ModelFolder

#: Normalisations that look at one voxel at a time, so that a box may be normalised alone.
VOXELWISE = ("CTNormalization", "NoNormalization")
#: nnU-Net's cubic resampling, which `clickpet.nnunet.resampling` does faster.
CUBIC = ("resample_data_or_seg_to_shape", 3)


class NetworkGrid:
    """The network's grid of a case, and the way from the PET's grid to it and back.

    shape, affine : the PET grid (x, y, z);  content : box of it that holds all that is not zero (see
    `nonzero_box`).  own_resampling : False takes nnU-Net's own function where ours would do.
    Attributes: `shape` and `spacing_mm` of the network's grid, (z, y, x) where the plans do not transpose.
    """

    def __init__(self, model: ModelFolder, shape, affine: np.ndarray, content: Box, *, own_resampling: bool = True):
        from nnunetv2.preprocessing.resampling.default_resampling import (
            compute_new_shape,
            determine_do_sep_z_and_axis,
        )

        self._model = model
        self._axes = tuple(2 - axis for axis in model.plans.transpose_forward)  # network axis -> axis of (x, y, z)
        self._pet_shape = tuple(int(length) for length in shape)
        self.content = content
        self._pet_spacing_mm = [spacing_mm(affine)[axis] for axis in self._axes]
        self.spacing_mm = [float(edge) for edge in model.configuration.spacing]
        self._content_shape = tuple(content[axis].stop - content[axis].start for axis in self._axes)
        new_shape = compute_new_shape(self._content_shape, self._pet_spacing_mm, self.spacing_mm)
        self.shape = tuple(int(length) for length in new_shape)
        #: An axis more than three times as coarse as the others is read nearest, as nnU-Net does.
        self._coarse = determine_do_sep_z_and_axis(None, self._pet_spacing_mm, self.spacing_mm)[1]
        plan = model.configuration.configuration
        as_planned = (plan["resampling_fn_data"], plan["resampling_fn_data_kwargs"].get("order"))
        self._own = own_resampling and self._coarse is None and as_planned == CUBIC
        #: False where the PET grid has the network's spacing and every normalisation is voxel by voxel.
        self.resamples = self.shape != self._content_shape or not set(plan["normalization_schemes"]) <= set(VOXELWISE)

    def keeps_zero(self, index: int) -> bool:
        """Whether channel `index` is 0 wherever nothing but 0 is near: it is not normalised."""
        return self._model.configuration.normalization_schemes[index] == "NoNormalization"

    def is_local(self, index: int) -> bool:
        """Whether channel `index` is resampled so that a voxel depends on nothing but those near it, but for the range
        of its values, to which it is clipped: what is not normalised, the clicks.
        """
        return self.keeps_zero(index) and self._own and self.shape != self._content_shape

    def reached(self, box: Box) -> Box | None:
        """Box of the network's grid that a local channel changes in, where its array changes in a box (x, y, z)."""
        parts = [slice(max(0, box[axis].start - self.content[axis].start), box[axis].stop - self.content[axis].start)
                 for axis in self._axes]  # fmt: skip
        spans = tuple(reached_span(matrix, part) for matrix, part in zip(self._local_matrices(), parts, strict=True))
        return None if any(span.stop == 0 for span in spans) else spans

    def value_range(self, array: np.ndarray) -> tuple[float, float]:
        """Least and greatest value of an array (x, y, z) in the content."""
        return float(array[self.content].min()), float(array[self.content].max())

    def _local_matrices(self) -> list[sparse.csr_array]:
        return [local_spline_matrix(old, new) for old, new in zip(self._content_shape, self.shape, strict=True)]

    @property
    def whole(self) -> Box:
        """All of the network's grid as a box."""
        return tuple(slice(0, length) for length in self.shape)

    def channel(self, index: int, array: np.ndarray, box: Box | None = None) -> np.ndarray:
        """Channel `index` of the network's input: `array` (x, y, z), normalised and resampled.

        Returns float32 (z, y, x), the `box` of the network's grid (None: all of it).
        """
        box = box or self.whole
        image = array[self.content].transpose(self._axes)
        normalise = _normaliser(self._model, index)
        same = self.shape == self._content_shape
        if type(normalise).__name__ not in VOXELWISE or not (same or self._own):
            image = normalise.run(np.array(image, dtype=np.float32, order="C"), None)
            resample = self._model.configuration.resampling_fn_data
            return np.ascontiguousarray(
                resample(image[None], self.shape, self._pet_spacing_mm, self.spacing_mm)[0][box]
            )
        if same:
            return normalise.run(np.array(image[box], dtype=np.float32, order="C"), None)
        limits = normalise.run(np.array([image.min(), image.max()], dtype=np.float32), None)
        if self.is_local(index):
            matrices = self._local_matrices()
            source = tuple(used_span(matrix, part) for matrix, part in zip(matrices, box, strict=True))
            parts = [matrix[part][:, span] for matrix, part, span in zip(matrices, box, source, strict=True)]
            image = resize_locally(image[source], parts)
            return np.clip(image, *limits, out=image)
        lengths = zip(self._content_shape, self.shape, box, strict=True)
        matrices = [spline_matrix(old, new)[part] for old, new, part in lengths]
        source = tuple(source_span(matrix) for matrix in matrices)
        image = normalise.run(np.array(image[source], dtype=np.float32, order="C"), None)
        image = resize(image, [matrix[:, span] for matrix, span in zip(matrices, source, strict=True)])
        return np.clip(image, *limits, out=image)

    def box(self, box: Box) -> Box:
        """The smallest box of the network's grid that holds all of a box (x, y, z) of the PET grid."""
        slices = []
        for axis, length, content_length in zip(self._axes, self.shape, self._content_shape, strict=True):
            offset, scale = self.content[axis].start, length / content_length
            start = min(max(int(np.floor((box[axis].start - offset) * scale)), 0), length - 1)
            stop = min(int(np.ceil((box[axis].stop - offset) * scale)), length)
            slices.append(slice(start, max(stop, start + 1)))
        return tuple(slices)

    def mask(
        self,
        values: np.ndarray,
        box: Box,
        *,
        above: float = 0.0,
        before: np.ndarray | None = None,
        region: Box | None = None,
    ) -> np.ndarray:
        """Where `values`, brought back onto the PET grid, speak for lesion: uint8 (x, y, z), 0 outside `box`.

        values : of the shape of `box` of the network's grid: float32, greater than `above` for lesion; or float16
        (2, z, y, x), logits of background and lesion, which are compared after rounding like nnU-Net's.
        before, region : the mask of values that differ from these in a region of the network's grid only; it is left as
        it is, and what the region does not reach is copied from it.
        Takes a few planes of memory besides the mask.
        """
        if before is None:
            mask, region = np.zeros(self._pet_shape, dtype=np.uint8, order="F"), None
        else:
            mask = before.copy(order="K")
        if values.ndim == 3:
            return self._onto_pet(values[None], box, mask, lambda planes: planes[0] > above, region=region)
        return self._onto_pet(
            values, box, mask, lambda planes: np.greater(*planes.astype(np.float16)[::-1]), region=region
        )

    def image(
        self,
        values: np.ndarray,
        box: Box,
        where: np.ndarray | None = None,
        *,
        dtype: type = np.float32,
        of_value: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> np.ndarray:
        """`values` (float32, a `box` of the network's grid) on the PET grid, `dtype` (x, y, z), 0 outside the box.

        where : uint8 (x, y, z), leaves 0 where it is 0 (None: nowhere). Memory is taken only around its voxels.
        of_value : what is stored of an interpolated plane (None: the plane itself).
        """
        return self._onto_pet(
            values[None],
            box,
            np.zeros(self._pet_shape, dtype=dtype, order="F"),
            lambda planes: of_value(planes[0]) if of_value else planes[0],
            where,
        )

    def _onto_pet(
        self,
        values: np.ndarray,
        box: Box,
        result: np.ndarray,
        of_planes: Callable[[np.ndarray], np.ndarray],
        where: np.ndarray | None = None,
        region: Box | None = None,
    ) -> np.ndarray:
        """Linear interpolation of each of `values` (n, z, y, x), plane by plane, put into `result` (x, y, z).

        region : part of the box; what depends on none of its values is left as it is (None: all of the box).
        """
        region = region or box
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, box, strict=True))
        target = result[self.content].transpose(self._axes)
        wanted = None if where is None else where[self.content].transpose(self._axes).view(bool)
        if self.shape == self._content_shape:
            parts = np.moveaxis(values[(slice(None), *inside)], 1, 0)
            for part, (plane, chosen) in zip(parts, _planes(target, wanted, region), strict=True):
                np.copyto(plane, of_planes(part), where=chosen, casting="same_kind")
            return result
        lengths = zip(box, self.shape, self._content_shape, range(3), strict=True)
        rows, (depth, height, width) = zip(
            *(linear_rows(part, old, new, nearest=axis == self._coarse) for part, old, new, axis in lengths),
            strict=True,
        )
        planes: dict[int, np.ndarray] = {}
        for (plane, chosen), weights in zip(_planes(target, wanted, rows), depth, strict=True):
            if not weights[inside[0]].any() or (chosen is not True and not chosen.any()):
                continue
            used = np.flatnonzero(weights)
            planes = {
                key: planes[key] if key in planes else height @ values[:, key].astype(np.float32) @ width.T
                for key in used
            }
            np.copyto(plane, of_planes(sum(weights[key] * planes[key] for key in used)), where=chosen)
        return result


def _planes(target: np.ndarray, wanted: np.ndarray | None, box: Box):
    """Pairs of a plane of `target` in the box, and where it is wanted: True or a bool plane."""
    part = target[box]
    return zip(part, [True] * len(part) if wanted is None else wanted[box], strict=True)


class NetworkInput:
    """The channels of a case on the network's grid, read box by box.

    arrays : CT, SUV, heatmap (x, y, z);  box : what will be read.  Without resampling nothing is copied ahead and a
    box is prepared when it is read; otherwise the channels are resampled once, for `box`.  ahead : channels that are
    prepared once in any case, because they will be read again and again.
    """

    def __init__(self, grid: NetworkGrid, arrays: list[np.ndarray], box: Box, *, ahead: Sequence[int] = ()):
        self._grid, self._box = grid, box
        self._ahead = set(range(len(arrays))) if grid.resamples else set(ahead)
        self._channels = [self._ready(index, array) for index, array in enumerate(arrays)]
        self._ranges: dict[int, tuple[float, float]] = {}

    def replace(self, index: int, array: np.ndarray, changed: Box) -> Box | None:
        """Put another `array` into channel `index`, which differs from the one before in a box (x, y, z) only.

        Returns the box of the network's grid outside of which the channel is as it was; None if all of it is.
        """
        if index not in self._ahead:
            self._channels[index] = array
            return self._grid.box(changed)
        channel, box = self._channels[index], self._box
        value_range = self._grid.value_range(array)
        if self._grid.is_local(index) and value_range == self._ranges.get(index):
            box = intersection(self._grid.reached(changed), self._box)
            if box is None:
                return None
        self._ranges[index] = value_range
        part = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, self._box, strict=True))
        found = self._grid.channel(index, array, box)
        differs = found != channel[part]
        channel[part] = found
        return self._filled(differs, box)

    def filled(self, index: int, box: Box) -> Box | None:
        """Box of the network's grid outside of which a channel is 0; None if all of it is.

        box : (x, y, z), outside of which the channel's array is 0.
        """
        if not self._grid.keeps_zero(index):
            return self._box
        return self._filled(self._channels[index], self._box) if index in self._ahead else self._grid.box(box)

    def _filled(self, values: np.ndarray, box: Box) -> Box | None:
        """The part of a box of the network's grid in which `values`, of its shape, are not 0."""
        inner = nonzero_box([values])
        if not values[inner].any():
            return None
        return tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, box, strict=True))

    def read(self, box: Box) -> np.ndarray:
        """The channels in a part of the box: float32 (channels, z, y, x), new memory."""
        image = np.empty((len(self._channels), *(part.stop - part.start for part in box)), dtype=np.float32)
        for index in range(len(self._channels)):
            image[index] = self.read_channel(index, box)
        return image

    def read_channel(self, index: int, box: Box) -> np.ndarray:
        """A channel in a part of the box: float32 (z, y, x)."""
        if index not in self._ahead:
            return self._grid.channel(index, self._channels[index], box)
        part = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, self._box, strict=True))
        return self._channels[index][part]

    def _ready(self, index: int, array: np.ndarray) -> np.ndarray:
        return self._grid.channel(index, array, self._box) if index in self._ahead else array


def _normaliser(model: ModelFolder, index: int):
    from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes

    name = model.configuration.normalization_schemes[index]
    scheme = getattr(schemes, name, None)
    if scheme is None or model.configuration.use_mask_for_norm[index]:
        masked = " within a mask" if scheme else ""
        raise InputError(f"normalises channel {index} by {name}{masked}, which is not known here", where=model.path)
    intensities = model.plans.foreground_intensity_properties_per_channel[str(index)]
    return scheme(use_mask_for_norm=False, intensityproperties=intensities)
