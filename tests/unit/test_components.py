"""Run lengths of masks and their connected components against labelling the volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from clickpet import components as module
from clickpet.components import (
    component_max,
    component_sum,
    encode_mask,
    iterate_voxels,
    label_components,
    memory_axes,
    overlap_voxels,
    sum_by_component,
)
from clickpet.errors import InputError

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)
MASKS = hnp.arrays(bool, SHAPES)
STRUCTURES = {
    connectivity: ndimage.generate_binary_structure(3, rank) for rank, connectivity in enumerate((6, 18, 26), 1)
}
ORDERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "swapped": lambda array: np.ascontiguousarray(array.transpose(1, 0, 2)).transpose(1, 0, 2),
    "reversed": lambda array: np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1],
    "strided": lambda array: np.repeat(array, 2, axis=2)[:, :, ::2],
}


def labelled(mask, connectivity):
    """The definition: label the volume; ndimage numbers components by their first voxel in C order."""
    return ndimage.label(mask != 0, STRUCTURES[connectivity])


def drawn(shape, encoded, component):
    """Put components found by run lengths back into a volume, from 1."""
    labels = np.zeros(shape, int)
    for part, _, index in iterate_voxels(encoded):
        labels[index] = np.repeat(component[part] + 1, encoded.length[part])
    return labels


@pytest.fixture(params=[1, 3, 1 << 20], ids="chunk {}".format)
def chunk_voxels(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_VOXELS", request.param)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@settings(deadline=None)
@given(mask=MASKS, order=st.sampled_from(sorted(ORDERS)))
def test_components_are_those_of_the_volume(connectivity, mask, order):
    encoded = encode_mask(ORDERS[order](mask))
    component, count = label_components(encoded, connectivity)
    expected, number = labelled(mask, connectivity)
    assert count == number
    np.testing.assert_array_equal(drawn(mask.shape, encoded, component), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), density=st.floats(0, 1), order=st.sampled_from(sorted(ORDERS)))
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_components_of_larger_noise(connectivity, seed, density, order):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(5, 25, 3)) < density
    encoded = encode_mask(ORDERS[order](mask))
    component, _ = label_components(encoded, connectivity)
    np.testing.assert_array_equal(drawn(mask.shape, encoded, component), labelled(mask, connectivity)[0])
    assert encoded.voxels == mask.sum()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_neighbours_by_face_edge_and_corner(connectivity, axis):
    """Two voxels that share a face, an edge or a corner, whichever axis lies first in memory."""
    for step, joined_from in (((1, 0, 0), 6), ((1, 1, 0), 18), ((1, 0, -1), 18), ((1, 1, 1), 26), ((1, -1, 1), 26)):
        mask = np.zeros((3, 3, 3), bool)
        mask[1, 1, 1] = mask[tuple(np.add(1, np.roll(step, axis)))] = True
        for bring in ORDERS.values():
            _, count = label_components(encode_mask(bring(mask)), connectivity)
            assert count == (1 if connectivity >= joined_from else 2)


def test_ends_of_lines_and_planes_are_not_neighbours():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 3] = mask[0, 1, 0] = mask[2, 3, 3] = mask[3, 0, 0] = True
    assert label_components(encode_mask(mask), 26)[1] == 4
    assert encode_mask(mask).length.tolist() == [1, 1, 1, 1]


@pytest.mark.usefixtures("chunk_voxels")
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_chunks_do_not_matter(order):
    rng = np.random.default_rng(3)
    mask, values = rng.random((5, 6, 7)) < 0.4, rng.random((5, 6, 7))
    encoded = encode_mask(ORDERS[order](mask))
    component, count = label_components(encoded, 18)
    expected, _ = labelled(mask, 18)
    np.testing.assert_array_equal(drawn(mask.shape, encoded, component), expected)
    np.testing.assert_array_equal(
        component_max(encoded, component, count, values), ndimage.maximum(values, expected, range(1, count + 1))
    )
    np.testing.assert_allclose(
        component_sum(encoded, component, count, values), ndimage.sum(values, expected, range(1, count + 1))
    )


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2"])
def test_any_type_of_mask(dtype):
    mask = (np.random.default_rng(0).random((4, 5, 6)) < 0.3).astype(dtype)
    encoded = encode_mask(np.asfortranarray(mask))
    np.testing.assert_array_equal(drawn(mask.shape, encoded, np.zeros(encoded.start.size, int)), mask != 0)


def test_negative_values_and_fractions_are_foreground():
    mask = np.array([0, -1, 0, 0.25]).reshape(1, 1, 4)
    assert encode_mask(mask).start.tolist() == [1, 3]


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 1), (0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty_masks_have_no_runs(shape):
    encoded = encode_mask(np.zeros(shape, bool))
    component, count = label_components(encoded, 26)
    assert encoded.start.size == component.size == count == encoded.voxels == 0
    assert list(iterate_voxels(encoded)) == []
    assert component_max(encoded, component, 0, np.zeros(shape)).size == 0
    assert component_sum(encoded, component, 0, np.zeros(shape)).size == 0


def test_a_full_mask_is_one_component():
    encoded = encode_mask(np.ones((4, 5, 6), bool))
    component, count = label_components(encoded, 6)
    assert (count, encoded.start.size, sum_by_component(encoded.length, component, count).tolist()) == (1, 20, [120])


@settings(deadline=None)
@given(data=st.data(), shape=SHAPES, order=st.sampled_from(sorted(ORDERS)), other=st.sampled_from(sorted(ORDERS)))
def test_shared_voxels(data, shape, order, other):
    mask, second = (data.draw(hnp.arrays(bool, shape)) for _ in range(2))
    encoded = encode_mask(ORDERS[order](mask))
    shared = overlap_voxels(encoded, encode_mask(ORDERS[other](second), encoded.axes))
    lines = second.transpose(encoded.axes).ravel()
    expected = [
        lines[start : start + length].sum() for start, length in zip(encoded.start, encoded.length, strict=True)
    ]
    assert shared.tolist() == expected


def test_runs_of_different_grids_are_not_compared():
    with pytest.raises(ValueError, match="different grids"):
        overlap_voxels(encode_mask(np.ones((2, 3, 4))), encode_mask(np.ones((2, 3, 5))))


def test_a_mask_needs_three_axes():
    with pytest.raises(InputError, match="2 axes"):
        encode_mask(np.ones((2, 3)))


def test_memory_axes():
    assert memory_axes(np.zeros((2, 3, 4))) == (0, 1, 2)
    assert memory_axes(np.zeros((2, 3, 4), order="F")) == (2, 1, 0)
    assert memory_axes(np.zeros((2, 3, 4)).transpose(1, 2, 0)) == (2, 0, 1)


def test_the_largest_value_keeps_type_and_not_a_number():
    mask = np.array([1, 1, 0, 1]).reshape(1, 1, 4)
    encoded = encode_mask(mask)
    highest = component_max(
        encoded, *label_components(encoded, 6), np.array([1, np.nan, 9, 3], np.float32).reshape(1, 1, 4)
    )
    assert highest.dtype == np.float32
    np.testing.assert_array_equal(highest, [np.nan, 3])
