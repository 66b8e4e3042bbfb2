"""clickpet.nnunet.resampling against nnU-Net's own resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from clickpet.nnunet.resampling import (
    filled_span,
    linear_rows,
    local_spline_matrix,
    reached_span,
    resize,
    resize_image,
    resize_labels,
    resize_locally,
    source_span,
    spline_matrix,
    used_span,
)

LENGTHS = st.integers(2, 40)


def stock(volume, new_shape, order):
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

    return resample_data_or_seg(volume[None].astype(np.float64), new_shape, order=order)[0]


@pytest.mark.parametrize("new_shape", [(17, 31, 9), (29, 12, 23), (20, 19, 40), (20, 25, 18)])
@pytest.mark.parametrize("filled", [True, False])
def test_cubic_resize_is_that_of_nnunet(new_shape, filled):
    volume = np.random.default_rng(0).normal(size=(20, 25, 18)).astype(np.float32)
    if not filled:
        volume[:4] = volume[:, 9:] = volume[:, :, :7] = volume[:, :, 12:] = 0
    ours = resize_image(volume, new_shape)
    np.testing.assert_allclose(ours, stock(volume, new_shape, 3), atol=3e-6)
    assert ours.dtype == np.float32


def test_an_empty_volume_stays_empty():
    assert not resize(np.zeros((4, 5, 6), np.float32), [np.ones((2, 4)), np.ones((3, 5)), np.ones((7, 6))]).any()
    assert filled_span(np.zeros((3, 3, 3)), 1) == slice(0, 0)


@given(length=LENGTHS, new_length=LENGTHS, data=st.data())
def test_linear_rows_of_a_whole_axis_are_those_of_nnunet(length, new_length, data):
    values = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=length, max_size=length)))
    rows, matrix = linear_rows(slice(0, length), length, new_length)
    assert rows == slice(0, new_length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    volume = np.broadcast_to(values[:, None, None], (length, 2, 2))
    np.testing.assert_allclose(matrix @ values, stock(volume, (new_length, 2, 2), 1)[:, 0, 0], atol=1e-5)


@given(length=st.integers(6, 40), new_length=LENGTHS, start=st.integers(0, 5), data=st.data())
def test_boxes_side_by_side_cover_the_axis_once(length, new_length, start, data):
    stop = data.draw(st.integers(start + 1, length))
    parts = [slice(0, start), slice(start, stop), slice(stop, length)]
    covered = [
        index
        for part in parts
        if part.stop > part.start
        for index in range(*linear_rows(part, length, new_length)[0].indices(new_length))
    ]
    assert covered == list(range(new_length))


def test_nearest_rows_pick_one_value():
    rows, matrix = linear_rows(slice(0, 3), 3, 7, nearest=True)
    assert rows == slice(0, 7)
    assert matrix.argmax(axis=1).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert set(matrix.ravel().tolist()) == {0.0, 1.0}


def test_source_span_leaves_out_what_does_not_matter():
    matrix = spline_matrix(200, 100)[40:50]
    span = source_span(matrix)
    assert 40 < span.start < 80
    assert 100 < span.stop < 140
    assert np.abs(matrix[:, : span.start]).max() < 1e-8


def stock_labels(labels, new_shape):
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

    return resample_data_or_seg(labels[None], new_shape, is_seg=True, order=1)[0]


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), new_shape=st.tuples(*[st.integers(1, 14)] * 3), data=st.data())
def test_labels_are_those_of_nnunet(shape, new_shape, data):
    values = data.draw(st.sampled_from([[0, 1], [-1, 0, 1], [0, 2, 3, 15], [-1, 0, 1, 4, 5, 6, 7, 200], [3]]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    labels = np.random.default_rng(seed).choice(values, size=shape).astype(np.int16)
    ours = resize_labels(labels, new_shape)
    np.testing.assert_array_equal(ours, stock_labels(labels, new_shape))
    assert ours.dtype == np.int16


@pytest.mark.parametrize("new_shape", [(10, 20, 15), (40, 80, 60), (21, 39, 31), (20, 40, 30), (60, 13, 7)])
def test_large_labels_are_those_of_nnunet_whatever_the_chunks(new_shape, monkeypatch):
    blobs = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(20, 40, 30)), 2)
    labels = np.digitize(blobs, [-0.05, 0.03, 0.08, 0.1]).astype(np.int16)
    right = stock_labels(labels, new_shape)
    np.testing.assert_array_equal(resize_labels(labels, new_shape), right)
    monkeypatch.setattr("clickpet.nnunet.resampling.CHUNK", 97)
    np.testing.assert_array_equal(resize_labels(labels, new_shape), right)


def test_half_the_size_puts_ties_between_labels():
    """Every new voxel is the mean of eight: half of them tie, which is settled by the nearest voxel."""
    labels = np.zeros((4, 4, 4), np.int16)
    labels[:, :, 1] = labels[:, :, 3] = 7
    ours = resize_labels(labels, (2, 2, 2))
    np.testing.assert_array_equal(ours, stock_labels(labels, (2, 2, 2)))
    assert set(np.unique(ours)) <= {0, 7}


@pytest.mark.parametrize("shape", [(30, 44, 25), (60, 31, 52)])
def test_local_resizing_is_resizing_and_a_change_stays_near(shape):
    rng = np.random.default_rng(0)
    volume = np.zeros((40, 37, 48), np.float32)
    volume[5:9, 4:8, 6:11] = rng.normal(size=(4, 4, 5))
    matrices = [local_spline_matrix(old, new) for old, new in zip(volume.shape, shape, strict=True)]
    before = resize_locally(volume, matrices)
    plain = resize(volume, [spline_matrix(old, new) for old, new in zip(volume.shape, shape, strict=True)])
    np.testing.assert_allclose(before, plain, atol=1e-6)
    assert np.ptp(before) > 1
    other = volume.copy()
    other[30:33, 28:32, 40:44] = rng.normal(size=(3, 4, 4))
    after = resize_locally(other, matrices)
    parts = (slice(30, 33), slice(28, 32), slice(40, 44))
    near = tuple(reached_span(matrix, part) for matrix, part in zip(matrices, parts, strict=True))
    differs = before != after
    assert differs[near].any()
    differs[near] = False
    assert not differs.any()
    box = tuple(slice(length // 3, length // 3 + 9) for length in shape)
    spans = [used_span(matrix, part) for matrix, part in zip(matrices, box, strict=True)]
    rows = [matrix[part][:, span] for matrix, part, span in zip(matrices, box, spans, strict=True)]
    np.testing.assert_array_equal(resize_locally(other[tuple(spans)], rows), after[box])
